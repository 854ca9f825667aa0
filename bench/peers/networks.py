# SPDX-License-Identifier: Apache-2.0
"""The same network, the same precision: contenders that take turns."""
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import nncf
import numpy
import onnxruntime
import openvino
import torch
from onnxruntime import quantization

from twin import Folded, OnnxTwin, TorchTwin

REPEATS = 3      # runs of a contender in its turn
REST_S = 0.05    # threads of the one before may spin for a while


class Ours:
    def __init__(self, binary, model, prompt, threads, precision, scratch):
        self.scratch = scratch
        self.process = subprocess.Popen(
            [binary, model, prompt, str(threads), precision],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def load(self, x, side):
        self.shape = x.shape[2:]
        for name, array in (("x", x), ("side", side)):
            rows = numpy.ascontiguousarray(array[0].transpose(1, 2, 0))
            (self.scratch / name).write_bytes(rows.tobytes())

    def times(self, runs):
        down, across = self.shape
        files = " ".join(str(self.scratch / n) for n in ("x", "side", "output", "field"))
        self.process.stdin.write(f"{across} {down} {runs} {files}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("peers: the C++ contender ended; see above")
        return [float(word) for word in line.split()]

    def results(self):
        down, across = self.shape
        output = numpy.frombuffer((self.scratch / "output").read_bytes(), numpy.float32)
        field = numpy.frombuffer((self.scratch / "field").read_bytes(), numpy.float32)
        return (output.reshape(down, across, 16).transpose(2, 0, 1),
                field.reshape(down // 4, across // 4, 3).transpose(2, 0, 1))


class Called:
    """A contender in this process: self.call() gives output and field as [1, c, h, w]."""

    def times(self, runs):
        spent = []
        for _ in range(runs):
            begin = time.perf_counter()
            self.last = self.call()
            spent.append((time.perf_counter() - begin) * 1e3)
        return spent

    def results(self):
        return tuple(numpy.asarray(part, numpy.float32)[0] for part in self.last)


def calibration(x, side):
    """Inputs to find int8 ranges on: what is then timed, and others like it."""
    rng = numpy.random.default_rng(2)
    more = [{"x": rng.normal(0, 1, x.shape).astype(numpy.float32),
             "side": rng.normal(0, 1, side.shape).astype(numpy.float32)} for _ in range(2)]
    return [{"x": x, "side": side}, *more]


class OneByOne(quantization.CalibrationDataReader):
    def __init__(self, inputs):
        self.inputs = iter(inputs)

    def get_next(self):
        return next(self.inputs, None)


class Onnx(Called):
    def __init__(self, folded, threads, precision):
        self.folded, self.threads, self.precision = folded, threads, precision

    def load(self, x, side):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        model = OnnxTwin(self.folded, x.shape[3], x.shape[2]).model.SerializeToString()
        if self.precision == "int8":
            model = self.quantised(model, calibration(x, side))
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        feed = {"x": x, "side": side}
        self.call = lambda: session.run(["output", "field"], feed)

    @staticmethod
    def quantised(model, inputs):
        with tempfile.TemporaryDirectory() as folder:
            before, after = (str(pathlib.Path(folder) / n) for n in ("a.onnx", "b.onnx"))
            pathlib.Path(before).write_bytes(model)
            # Weights of seven bits: on AVX2 its sums of two products have sixteen bits, too.
            quantization.quantize_static(before, after, OneByOne(inputs), per_channel=True,
                                         reduce_range=True)
            return pathlib.Path(after).read_bytes()


class OpenVino(Called):
    def __init__(self, folded, threads, precision):
        self.folded, self.threads, self.precision = folded, threads, precision

    def load(self, x, side):
        model = OnnxTwin(self.folded, x.shape[3], x.shape[2]).model.SerializeToString()
        core = openvino.Core()
        read = core.read_model(model)
        if self.precision == "int8":
            read = nncf.quantize(read, nncf.Dataset(calibration(x, side)))
        # Channels-last at both ends and the inputs rounded beforehand, as our rows are.
        steps = openvino.preprocess.PrePostProcessor(read)
        bf16 = self.precision == "bf16"
        kind = openvino.Type.bf16 if bf16 else openvino.Type.f32
        for name in ("x", "side"):
            steps.input(name).tensor().set_element_type(kind).set_layout(openvino.Layout("NHWC"))
            steps.input(name).model().set_layout(openvino.Layout("NCHW"))
        for name in ("output", "field"):
            steps.output(name).tensor().set_layout(openvino.Layout("NHWC"))
            steps.output(name).model().set_layout(openvino.Layout("NCHW"))
        compiled = core.compile_model(steps.build(), "CPU", {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32"})
        request = compiled.create_infer_request()
        for name, array in (("x", x), ("side", side)):
            rows = torch.from_numpy(array).permute(0, 2, 3, 1).contiguous()
            if bf16:
                tensor = openvino.Tensor(openvino.Type.bf16, openvino.Shape(rows.shape))
                tensor.data.view(numpy.uint16)[:] = rows.to(torch.bfloat16).view(
                    torch.uint16).numpy()
            else:
                tensor = openvino.Tensor(rows.numpy())
            request.set_tensor(name, tensor)

        def call():
            request.infer()
            return [request.get_tensor(name).data.transpose(0, 3, 1, 2)
                    for name in ("output", "field")]
        self.call = call


class Torch(Called):
    def __init__(self, folded, precision, compiled):
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.network = TorchTwin(folded, self.dtype).eval()
        if compiled:
            # Weights become constants, so that Inductor may lay them out as oneDNN likes.
            import torch._inductor.config as inductor
            inductor.freezing = True
            self.network = torch.compile(self.network)

    def load(self, x, side):
        x, side = (torch.from_numpy(a).to(self.dtype).contiguous(
            memory_format=torch.channels_last) for a in (x, side))

        def call():
            with torch.inference_mode():
                return self.network(x, side)
        self.call = call

    def results(self):
        return tuple(part[0].float().numpy() for part in self.last)


def compare(binary, model, prompt, size, threads, rounds, macs_per_pixel, bf16):
    """Milliseconds of the network proper at a frame's size; and how far each is from float32.

    In bf16 too where the processor multiplies it: elsewhere it is slower than float32 for all. In
    int8 after static quantisation by each engine's own tool, on what is then timed.
    """
    torch.manual_seed(1)
    torch.set_num_threads(threads)
    folded = Folded(model, prompt)
    stride = 1 << (len(folded.config["channels"]) - 1)
    width, height = size
    across, down = (((n + 1) // 2 + stride - 1) // stride * stride for n in (width, height))
    rng = numpy.random.default_rng(1)
    x = rng.normal(0, 1, (1, 12, down, across)).astype(numpy.float32)
    side = rng.normal(0, 1, (1, 16, down, across)).astype(numpy.float32)
    result = {"size": f"{width}x{height}", "threads": threads, "rounds": rounds,
              "note": "milliseconds; contenders take turns, medians over all runs", "ms": {},
              "deviation": {}}
    with tempfile.TemporaryDirectory() as folder:
        def ours(precision):
            scratch = pathlib.Path(folder) / precision
            scratch.mkdir()
            return Ours(binary, model, prompt, threads, precision, scratch)

        precisions = ["fp32", *(["bf16"] if bf16 else []), "int8"]
        contenders = {}
        for precision in precisions:
            contenders[f"ours {precision}"] = ours(precision)
            if precision != "bf16":
                contenders[f"ONNX Runtime {precision}"] = Onnx(folded, threads, precision)
            contenders[f"OpenVINO {precision}"] = OpenVino(folded, threads, precision)
            if precision == "int8":
                continue
            contenders[f"PyTorch eager {precision}"] = Torch(folded, precision, False)
            contenders[f"torch.compile {precision}"] = Torch(folded, precision, True)
        reference = None
        spent = {}
        for name, contender in contenders.items():
            contender.load(x, side)
            contender.times(3)  # warms up, compiles
            got = contender.results()
            reference = reference or got
            scale = [max(float(numpy.abs(r).max()), 1e-9) for r in reference]
            result["deviation"][name] = max(
                float(numpy.abs(a - b).max()) / s for a, b, s in zip(got, reference, scale))
            spent[name] = []
            print(f"peers: {name} is ready", flush=True)
        peaks = {precision: [] for precision in precisions if precision != "int8"}
        for _ in range(rounds):
            for name, contender in contenders.items():
                time.sleep(REST_S)
                spent[name] += contender.times(REPEATS)
            for precision in peaks:
                peaks[precision].append(
                    matrix_peak(torch.bfloat16 if precision == "bf16" else torch.float32))
    for contender in contenders.values():
        if isinstance(contender, Ours):
            contender.process.stdin.close()
            contender.process.wait()
    gmacs = macs_per_pixel * width * height * 1e-9
    result["peak_gmacs"] = {name: max(values) for name, values in peaks.items()}
    for name, values in spent.items():
        median = statistics.median(values)
        precision = name.rsplit(" ", 1)[1]
        result["ms"][name] = {"median": median, "best": min(values),
                              "share_of_peak": gmacs / (median * 1e-3) / result["peak_gmacs"].get(
                                  precision, result["peak_gmacs"]["fp32"])}
    return result


def matrix_peak(dtype):
    a = torch.randn(2048, 2048).to(dtype)
    best = 1e9
    for _ in range(3):
        begin = time.perf_counter()
        torch.matmul(a, a)
        best = min(best, time.perf_counter() - begin)
    return 2048**3 / best * 1e-9


def versions():
    return {"ONNX Runtime": onnxruntime.__version__,
            "OpenVINO": openvino.__version__.split("-")[0], "NNCF": nncf.__version__,
            "PyTorch": torch.__version__,
            "CPUs": os.cpu_count()}
