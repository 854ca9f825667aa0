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

ModelOptions OptionsFrom(const Settings& settings) {
  return {.precision = settings.precision, .threads = static_cast<int>(settings.threads)};
}

void LogModel(GstElement* element, const Model& model) {
  GST_INFO_OBJECT(element, "model %s: %s, %s", model.info().path.c_str(),
                  model.info().architecture.c_str(),
                  model.precision() == Precision::kBf16 ? "bf16" : "fp32");
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

}  // namespace

void StartModel(GstElement* element) {
  auto* priv = PrivateOf(element);
  std::string name;
  ModelOptions options;
  {
    const std::lock_guard lock(priv->lock);
    name = priv->settings.model;
    options = OptionsFrom(priv->settings);
  }
  const std::shared_ptr<Model> model = priv->runtime->load_model(name, options);
  auto stream = std::make_unique<RestoreStream>(model);
  LogModel(element, *model);

  const std::lock_guard lock(priv->lock);
  priv->settings.prompt = PromptByName(model->info(), priv->settings.degradation);
  priv->model = model->info();
  priv->model_name = name;
  priv->stats = {};
  priv->stream = std::move(stream);
}

void RequestModel(GstElement* element, const std::string& name) {
  auto* priv = PrivateOf(element);
  ModelOptions options;
  {
    const std::lock_guard lock(priv->lock);
    options = OptionsFrom(priv->settings);
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
