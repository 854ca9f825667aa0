// SPDX-License-Identifier: Apache-2.0

#include "gst/element_error.h"

#include <exception>
#include <new>

#include "cpl/error.h"
#include "gst/debug.h"
#include "gst/i18n.h"
#include "gst/runtime_loader.h"

namespace cpl {
namespace {

struct GstCode {
  GQuark domain;
  gint code;
};

GstCode ModelCode(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND};
    case ErrorCode::kCannotRead:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ};
    case ErrorCode::kCannotWrite:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE};
    case ErrorCode::kBadFormat:
      return {GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT};
    case ErrorCode::kOutOfMemory:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NO_SPACE_LEFT};
    case ErrorCode::kUnsupported:
    case ErrorCode::kInvalidArgument:
      return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_SETTINGS};
    case ErrorCode::kDeviceLost:
      return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_FAILED};
    case ErrorCode::kInternal:
      break;
  }
  return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED};
}

GstCode CodeFor(ErrorCode code, Stage stage) {
  switch (stage) {
    case Stage::kRuntime:
      if (code == ErrorCode::kNotFound) return {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND};
      return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_INIT};
    case Stage::kModel:
      return ModelCode(code);
    case Stage::kFrame:
      if (code == ErrorCode::kOutOfMemory) return ModelCode(code);
      return {GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED};
    case Stage::kSettings:
      break;
  }
  return {GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_SETTINGS};
}

const char* Doing(Stage stage) {
  switch (stage) {
    case Stage::kRuntime:
      return "while opening the restoration runtime";
    case Stage::kModel:
      return "while loading the model";
    case Stage::kFrame:
      return "while working on a frame";
    case Stage::kSettings:
      break;
  }
  return "while applying a setting";
}

void Post(GstElement* element, GstMessageType type, GstCode code, const char* text,
          const char* debug) {
  gst_element_message_full(element, type, code.domain, code.code, g_strdup(text), g_strdup(debug),
                           __FILE__, GST_FUNCTION, __LINE__);
}

}  // namespace

void PostCurrentException(GstElement* element, Stage stage, GstMessageType type) noexcept {
  try {
    throw;
  } catch (const RuntimeError& error) {
    Post(element, type, CodeFor(error.code(), stage), error.what(), error.debug().c_str());
  } catch (const Error& error) {
    Post(element, type, CodeFor(error.code(), stage), error.what(), Doing(stage));
  } catch (const std::bad_alloc&) {
    Post(element, type, CodeFor(ErrorCode::kOutOfMemory, stage), _("There is not enough memory."),
         Doing(stage));
  } catch (const std::exception& error) {
    Post(element, type, CodeFor(ErrorCode::kInternal, stage),
         _("The restoration runtime failed unexpectedly."), error.what());
  } catch (...) {
    Post(element, type, CodeFor(ErrorCode::kInternal, stage),
         _("The restoration runtime failed unexpectedly."), Doing(stage));
  }
}

}  // namespace cpl
