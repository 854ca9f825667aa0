# SPDX-License-Identifier: Apache-2.0
"""The live network, with one prompt folded in, in PyTorch and in ONNX: from a model file of ours.

What model/live_net.cc has in RunLive and Fold, with a conditioning vector of zeros. Both twins take
x [1, 12, h, w] and side [1, 16, h, w] and give output [1, 16, h, w] and field [1, 3, h / 4, w / 4].
"""
import json
import struct

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

KEYS = {"channels", "encoder", "decoder", "conditioning", "router_channels", "router_patches",
        "router_pooling", "prompt_weights", "tone", "framework", "top_k"}
FIELD_LEVEL = 2
LOGIT_GAIN = 4.0
CELL, OUTPUT = 12, 16


class Folded:
    """Weights and biases by name, one prompt folded in, and the config."""

    def __init__(self, path, prompt):
        data = open(path, "rb").read()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + length])
        meta = header.pop("__metadata__")
        self.config = json.loads(meta["config"])
        unknown = set(self.config) - KEYS
        if unknown:
            raise SystemExit(f"peers: {path}: the twin does not know config {sorted(unknown)}")
        self.tensors = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            self.tensors[name] = numpy.frombuffer(
                data[8 + length + begin:8 + length + end], numpy.float32).reshape(entry["shape"])
        self.index = json.loads(meta["prompts"]).index(prompt)

    def conv(self, name):
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        if name + ".prompt_weight" in self.tensors:
            weight = weight + self.tensors[name + ".prompt_weight"][self.index]
        if name + ".prompt_in" in self.tensors:
            into = 1 + self.tensors[name + ".prompt_in"][self.index]
            out = 1 + self.tensors[name + ".prompt_out"][self.index]
            weight = weight * out[:, None, None, None] * into[None, :, None, None]
            bias = bias * out + self.tensors[name + ".prompt_shift"][self.index]
        if name == "output":
            gain = numpy.ones(len(bias), numpy.float32)
            gain[CELL:] = LOGIT_GAIN
            weight, bias = weight * gain[:, None, None, None], bias * gain
        return numpy.ascontiguousarray(weight, numpy.float32), bias.astype(numpy.float32)


def walk(config, ops):
    """The network in terms of ops.conv(name, x, stride, padding), relu, add, shuffle."""
    levels = len(config["channels"])

    def pairs(stem, level, count, x):
        for i in range(count):
            name = f"{stem}{level}.{i}.conv"
            hidden = ops.relu(ops.conv(name + "1", x, 1, 1))
            x = ops.add(ops.conv(name + "2", hidden, 1, 1), x)
        return x

    y = ops.add(ops.conv("stem", ops.x, 1, 1), ops.conv("stem_state", ops.side, 1, 0))
    skips = []
    for level in range(levels):
        if level > 0:
            y = ops.conv(f"down{level}", y, 2, 0)
        y = pairs("encoder", level, config["encoder"][level], y)
        skips.append(y)
    field = None
    for level in range(levels - 2, -1, -1):
        y = ops.add(ops.shuffle(ops.conv(f"up{level}", y, 1, 0)), skips[level])
        y = pairs("decoder", level, config["decoder"][level], y)
        if level == FIELD_LEVEL:
            field = ops.conv("field", y, 1, 0)
    if field is None:
        field = ops.conv("field", skips[-1], 1, 0)
    y = ops.relu(ops.conv("head", y, 1, 1))
    return ops.conv("output", y, 1, 1), field


class TorchTwin(torch.nn.Module):
    def __init__(self, folded, dtype):
        super().__init__()
        self.config, self.names = folded.config, {}
        for name in sorted({n.rsplit(".", 1)[0] for n in folded.tensors if n.endswith(".weight")}):
            if name.startswith(("router", "conditioner", "motion")):
                continue
            weight, bias = folded.conv(name)
            key = name.replace(".", "_")
            self.register_buffer(key + "_w", torch.from_numpy(weight).to(dtype).contiguous(
                memory_format=torch.channels_last))
            self.register_buffer(key + "_b", torch.from_numpy(bias).to(dtype))

    def conv(self, name, x, stride, padding):
        key = name.replace(".", "_")
        return torch.nn.functional.conv2d(x, getattr(self, key + "_w"), getattr(self, key + "_b"),
                                          stride, padding)

    @staticmethod
    def relu(x):
        return torch.relu(x)

    @staticmethod
    def add(a, b):
        return a + b

    @staticmethod
    def shuffle(x):
        return torch.nn.functional.pixel_shuffle(x, 2)

    def forward(self, x, side):
        self.x, self.side = x, side
        return walk(self.config, self)


class OnnxTwin:
    """A graph of Conv, Relu, Add and DepthToSpace."""

    def __init__(self, folded, across, down):
        self.folded, self.nodes, self.weights, self.count = folded, [], [], 0
        self.x, self.side = "x", "side"
        output, field = walk(folded.config, self)
        shape = lambda c, n: [1, c, down // n, across // n]
        value = helper.make_tensor_value_info
        for made, name in ((output, "output"), (field, "field")):
            self.nodes.append(helper.make_node("Identity", [made], [name]))
        graph = helper.make_graph(
            self.nodes, "live",
            [value("x", TensorProto.FLOAT, shape(12, 1)),
             value("side", TensorProto.FLOAT, shape(16, 1))],
            [value("output", TensorProto.FLOAT, shape(16, 1)),
             value("field", TensorProto.FLOAT, shape(3, 4))], self.weights)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                       ir_version=8)
        onnx.checker.check_model(self.model)

    def node(self, kind, inputs, **attributes):
        self.count += 1
        name = f"t{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def conv(self, name, x, stride, padding):
        weight, bias = self.folded.conv(name)
        for array, suffix in ((weight, ".weight"), (bias, ".bias")):
            self.weights.append(numpy_helper.from_array(array, name + suffix))
        return self.node("Conv", [x, name + ".weight", name + ".bias"],
                         kernel_shape=list(weight.shape[2:]), strides=[stride, stride],
                         pads=[padding] * 4)

    def relu(self, x):
        return self.node("Relu", [x])

    def add(self, a, b):
        return self.node("Add", [a, b])

    def shuffle(self, x):
        return self.node("DepthToSpace", [x], blocksize=2, mode="CRD")
