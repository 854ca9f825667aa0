// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <utility>

#include "cpl/error.h"
#include "gst/debug.h"
#include "gst/element_error.h"
#include "gst/restore_private.h"

namespace cpl {
namespace {

GstCplRestorePrivate* PrivateOf(gpointer self) { return GST_CPL_RESTORE(self)->priv; }

ModelOptions OptionsFrom(const GstCplRestorePrivate& priv) {
  const Settings& settings = priv.settings;
  ModelOptions options;
  options.precision = settings.precision;
  options.threads = static_cast<int>(settings.threads);
  if (priv.use_cuda) options.device = DeviceKind::kCuda;
  if (priv.use_cuda) options.device_id = settings.cuda_device_id;
  return options;
}

void LogModel(GstElement* element, const Model& model) {
  GST_INFO_OBJECT(element, "model %s: %s, %s, on the %s", model.info().path.c_str(),
                  model.info().architecture.c_str(), PrecisionName(model.precision()),
                  model.device() == DeviceKind::kCuda ? "GPU" : "CPU");
}

// In a catch block: the model that was asked for cannot be used, the old one goes on.
void GiveModelUp(GstElement* element, const std::string& name) {
  PostCurrentException(element, Stage::kModel, GST_MESSAGE_WARNING);
  auto* priv = PrivateOf(element);
  {
    const std::lock_guard lock(priv->lock);
    if (priv->settings.model != name) return;
    priv->settings.model = priv->model_name;
  }
  g_object_notify(G_OBJECT(element), "model");
}

bool IsGpuAskedFor(GstCplRestorePrivate* priv) {
  const std::lock_guard lock(priv->lock);
  return priv->settings.device == Device::kCuda;
}

bool IsTheGpusFault() {
  try {
    throw;
  } catch (const Error& error) {
    return error.code() == ErrorCode::kDeviceLost || error.code() == ErrorCode::kOutOfMemory;
  } catch (...) {
    return false;
  }
}

}  // namespace

bool GoOnWithCpu(GstElement* element) {
  auto* priv = PrivateOf(element);
  if (!priv->use_cuda || IsGpuAskedFor(priv) || !IsTheGpusFault()) return false;
  PostCurrentException(element, Stage::kFrame, GST_MESSAGE_WARNING);
  priv->use_cuda = false;
  ModelOptions options;
  {
    const std::lock_guard lock(priv->lock);
    options = OptionsFrom(*priv);
  }
  if (options.precision == Precision::kFp16) options.precision = Precision::kAuto;
  const std::shared_ptr<Model> model = priv->runtime->load_model(priv->model_name, options);
  priv->stream->SetModel(model);
  priv->stream->LeaveGpu();
  priv->latency.Restart();
  priv->limit.Restart();
  LogModel(element, *model);
  return true;
}

void StartModel(GstElement* element) {
  auto* priv = PrivateOf(element);
  std::string name;
  ModelOptions options;
  {
    const std::lock_guard lock(priv->lock);
    name = priv->settings.model;
    options = OptionsFrom(*priv);
  }
  std::shared_ptr<Model> model;
  try {
    model = priv->runtime->load_model(name, options);
  } catch (const Error& error) {
    if (!priv->use_cuda || IsGpuAskedFor(priv)) throw;
    GST_WARNING_OBJECT(element, "the GPU cannot take this model: %s", error.what());
    priv->use_cuda = false;
    const std::lock_guard lock(priv->lock);
    options = OptionsFrom(*priv);
  }
  if (!model) model = priv->runtime->load_model(name, options);
  auto stream = std::make_unique<RestoreStream>(model, &priv->cuda);
  LogModel(element, *model);

  std::string named_meanwhile;
  {
    const std::lock_guard lock(priv->lock);
    priv->settings.prompt = PromptByName(model->info(), priv->settings.degradation);
    priv->model = model->info();
    priv->model_name = name;
    priv->stats = {};
    priv->stream = std::move(stream);
    if (priv->settings.model != name) named_meanwhile = priv->settings.model;
  }
  if (!named_meanwhile.empty()) RequestModel(element, named_meanwhile);
}

void RequestModel(GstElement* element, const std::string& name) {
  auto* priv = PrivateOf(element);
  ModelOptions options;
  {
    const std::lock_guard lock(priv->lock);
    options = OptionsFrom(*priv);
  }
  // The element may be on its way out while its model is still loading.
  const std::shared_ptr<GstElement> held(GST_ELEMENT(gst_object_ref(element)),
                                         [](GstElement* e) { gst_object_unref(e); });
  priv->swap.Request(
      name,
      [held, options](const std::string& wanted) {
        GST_DEBUG_OBJECT(held.get(), "loading model %s", wanted.c_str());
        return PrivateOf(held.get())->runtime->load_model(wanted, options);
      },
      [held](const std::string& wanted) { GiveModelUp(held.get(), wanted); });
}

void TakeRequestedModel(GstElement* element) {
  auto* priv = PrivateOf(element);
  std::optional<LoadedModel> loaded = priv->swap.Take();
  if (!loaded) return;
  try {
    const ModelInfo& info = loaded->model->info();
    {
      const std::lock_guard lock(priv->lock);
      const int prompt = PromptByName(info, priv->settings.degradation);
      priv->stream->SetModel(loaded->model);
      priv->settings.prompt = prompt;
      priv->model = info;
      priv->model_name = loaded->name;
      ++priv->stats.models;
    }
    priv->latency.Restart();
    priv->limit.Restart();
    LogModel(element, *loaded->model);
    gst_element_post_message(
        element,
        gst_message_new_element(
            GST_OBJECT(element),
            gst_structure_new("cplrestore-model", "model", G_TYPE_STRING, loaded->name.c_str(),
                              "path", G_TYPE_STRING, info.path.c_str(), nullptr)));
  } catch (...) {
    GiveModelUp(element, loaded->name);
  }
}

}  // namespace cpl
