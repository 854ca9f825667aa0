// SPDX-License-Identifier: Apache-2.0
#include "train/evaluator.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <future>
#include <limits>
#include <utility>

#include "cpl/error.h"
#include "train/image_io.h"
#include "train/interrupt.h"
#include "train/metrics.h"

namespace cpl::train {
namespace fs = std::filesystem;
namespace {

// The model runs in the caller's thread alone, since its own threads follow it there.
struct Frame {
  cv::Mat input;
  cv::Mat target;
  cv::Mat output;
  fs::path save_as;  // empty: nowhere
  bool ssim = true;
};

fs::path SavedAs(const EvalPlan& plan, const std::string& kind, const EvalSequence& sequence,
                 const EvalPair& pair) {
  const std::string name = fs::path(pair.input).stem().string() + ".png";
  return fs::path(plan.save) / kind / sequence.name / name;
}

struct FrameScores {
  Quality output;
  double psnr_input_rgb = 0;
  double psnr_input_y = 0;
  bool bit_exact = false;
};

Frame ReadFrame(const EvalPair& pair) {
  Frame frame;
  frame.input = ReadRgb(pair.input);
  frame.target = ReadRgb(pair.target);
  if (frame.input.size() != frame.target.size()) {
    throw Error(ErrorCode::kBadFormat, pair.input + ": differs in size from " + pair.target);
  }
  frame.output = pair.restored.empty() ? frame.input.clone() : ReadRgb(pair.restored);
  if (frame.output.size() != frame.target.size()) {
    throw Error(ErrorCode::kBadFormat, pair.restored + ": differs in size from " + pair.target);
  }
  return frame;
}

void MakeFolder(const fs::path& folder) {
  std::error_code ec;
  fs::create_directories(folder, ec);
  if (ec) {
    throw Error(ErrorCode::kCannotWrite, folder.string() + ": cannot be made: " + ec.message());
  }
}

bool Equal(const cv::Mat& a, const cv::Mat& b) { return cv::norm(a, b, cv::NORM_INF) == 0; }

FrameScores Score(const Frame& frame) {
  FrameScores scores;
  const cv::Mat luma = Luma(frame.target);
  if (frame.ssim) {
    scores.output = Compare(frame.output, frame.target);
  } else {
    scores.output.psnr_rgb = Psnr(frame.output, frame.target);
    scores.output.psnr_y = Psnr(Luma(frame.output), luma);
    scores.output.ssim_rgb = scores.output.ssim_y = std::numeric_limits<double>::quiet_NaN();
  }
  scores.psnr_input_rgb = Psnr(frame.input, frame.target);
  scores.psnr_input_y = Psnr(Luma(frame.input), luma);
  scores.bit_exact = Equal(frame.output, frame.input);
  if (!frame.save_as.empty()) WriteImage(frame.save_as.string(), frame.output);
  return scores;
}

class Run {
 public:
  Run(Model* model, const EvalPlan& plan, const EvalEvents& events) : plan_(plan), events_(events) {
    if (model == nullptr) return;
    stream_ = model->NewStream();
    prompts_ = model->info().prompts;
  }

  std::vector<KindScores> All() {
    const std::int64_t passes = plan_.matrix ? 1 + static_cast<std::int64_t>(prompts_.size()) : 1;
    for (const EvalKind& kind : plan_.kinds) {
      for (const EvalSequence& s : kind.sequences) {
        total_ += passes * static_cast<std::int64_t>(s.pairs.size());
      }
    }
    std::vector<KindScores> all;
    for (const EvalKind& kind : plan_.kinds) all.push_back(One(kind));
    return all;
  }

 private:
  KindScores One(const EvalKind& kind) {
    KindScores scores;
    scores.name = kind.name;
    for (const std::string& prompt : prompts_) scores.prompt_counts[prompt] = 0;
    for (const EvalSequence& sequence : kind.sequences) {
      for (const std::string& orphan : sequence.orphans) {
        events_.skipped(orphan + ": has no target");
      }
      Sequence(sequence, scores);
    }
    if (scores.frames == 0) {
      throw Error(ErrorCode::kCannotRead,
                  "kind '" + kind.name + "': none of its pictures could be evaluated");
    }
    for (std::size_t p = 0; plan_.matrix && p < prompts_.size(); ++p) {
      FiniteMean mean;
      for (const EvalSequence& sequence : kind.sequences) {
        Forced(sequence, static_cast<int>(p), mean);
      }
      scores.matrix.emplace_back(prompts_[p], mean);
    }
    return scores;
  }

  // Restores the pairs of a sequence one after another. `take` gets those that worked.
  template <typename Take>
  void ForEachFrame(const EvalSequence& sequence, const RestoreParams& params, bool report,
                    Take take) {
    bool fresh = true;
    for (const EvalPair& pair : sequence.pairs) {
      CheckInterrupt();
      std::optional<Frame> restored;
      FrameReport said;
      try {
        Frame frame = ReadFrame(pair);
        if (stream_ != nullptr) {
          if (fresh || !plan_.clips) stream_->Reset();
          try {
            said = stream_->Restore(AsConst(ViewOf(frame.input)), ViewOf(frame.output), params);
          } catch (const Error& error) {
            throw Error(error.code(), pair.input + ": " + error.what());
          }
        }
        fresh = false;
        restored = std::move(frame);
      } catch (const Error& error) {
        if (report) events_.skipped(error.what());
      }
      if (restored) take(pair, std::move(*restored), said);
      events_.progress(++done_, total_);
    }
  }

  void Sequence(const EvalSequence& sequence, KindScores& scores) {
    if (!plan_.save.empty()) MakeFolder(fs::path(plan_.save) / scores.name / sequence.name);
    std::deque<std::future<FrameScores>> pending;
    std::optional<FrameScores> first, last;
    std::optional<int> prompt;
    FlickerMeter flicker;
    const auto harvest = [&] {
      std::future<FrameScores> oldest = std::move(pending.front());
      pending.pop_front();
      try {
        last = oldest.get();
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCannotWrite) throw;
        events_.skipped(error.what());
        return;
      }
      if (!first) first = last;
      Add(*last, scores);
    };
    ForEachFrame(sequence, plan_.params, true,
                 [&](const EvalPair& pair, Frame frame, const FrameReport& said) {
                   if (stream_ != nullptr) ++scores.prompt_counts[PromptName(said.prompt)];
                   if (plan_.clips && prompt && *prompt != said.prompt) ++scores.prompt_changes;
                   prompt = said.prompt;
                   frame.ssim = plan_.ssim;
                   if (!plan_.save.empty())
                     frame.save_as = SavedAs(plan_, scores.name, sequence, pair);
                   if (plan_.clips) flicker.Add(frame.output, frame.target);
                   if (static_cast<int>(pending.size()) >= plan_.threads) harvest();
                   pending.push_back(std::async(std::launch::async, Score, std::move(frame)));
                 });
    while (!pending.empty()) harvest();
    if (!plan_.clips || !first) return;
    ++scores.clips;
    scores.psnr_rgb_first.Add(first->output.psnr_rgb);
    scores.psnr_y_first.Add(first->output.psnr_y);
    scores.psnr_rgb_last.Add(last->output.psnr_rgb);
    scores.psnr_y_last.Add(last->output.psnr_y);
    scores.flicker.Add(flicker.Value());
  }

  void Forced(const EvalSequence& sequence, int prompt, FiniteMean& mean) {
    RestoreParams params = plan_.params;
    params.prompt = prompt;
    ForEachFrame(sequence, params, false,
                 [&](const EvalPair&, const Frame& frame, const FrameReport&) {
                   mean.Add(Psnr(Luma(frame.output), Luma(frame.target)));
                 });
  }

  static void Add(const FrameScores& frame, KindScores& scores) {
    ++scores.frames;
    scores.psnr_rgb.Add(frame.output.psnr_rgb);
    scores.ssim_rgb.Add(frame.output.ssim_rgb);
    scores.psnr_y.Add(frame.output.psnr_y);
    scores.ssim_y.Add(frame.output.ssim_y);
    scores.psnr_input_rgb.Add(frame.psnr_input_rgb);
    scores.psnr_input_y.Add(frame.psnr_input_y);
    if (frame.bit_exact) ++scores.bit_exact;
  }

  std::string PromptName(int prompt) const {
    const auto index = static_cast<std::size_t>(prompt);
    return prompt >= 0 && index < prompts_.size() ? prompts_[index] : "none";
  }

  const EvalPlan& plan_;
  const EvalEvents& events_;
  std::unique_ptr<Restorer> stream_;
  std::vector<std::string> prompts_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

std::vector<KindScores> Evaluate(Model* model, const EvalPlan& plan, const EvalEvents& events) {
  return Run(model, plan, events).All();
}

}  // namespace cpl::train
