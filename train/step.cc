// SPDX-License-Identifier: Apache-2.0
#include "train/step.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "cpl/error.h"
#include "train/autocast.h"

namespace cpl::train {
namespace {

bool IsOutOfMemory(const c10::Error& error) {
  const std::string what = error.what_without_backtrace();
  return what.find("can't allocate memory") != std::string::npos ||
         what.find("out of memory") != std::string::npos;
}

// Calls `work` and says whether memory sufficed.
template <typename Work>
bool Fits(Work work, std::string* why = nullptr) {
  try {
    work();
    return true;
  } catch (const std::bad_alloc& error) {
    if (why) *why = error.what();
  } catch (const c10::Error& error) {
    if (!IsOutOfMemory(error)) throw;
    if (why) *why = error.what_without_backtrace();
  }
  return false;
}

}  // namespace

StepRunner::StepRunner(const Recipe& recipe, const Trainee& trainee, const Parameters& parameters,
                       WorkerPool& pool, Communicator* communicator, at::Device device, bool bf16)
    : recipe_(recipe),
      trainee_(trainee),
      parameters_(parameters),
      pool_(pool),
      communicator_(communicator),
      device_(device),
      bf16_(bf16) {
  if (communicator != nullptr) {
    reducer_ = std::make_unique<GradientReducer>(parameters, *communicator);
  }
}

StepRunner::~StepRunner() = default;

void StepRunner::Reserve(std::size_t groups) {
  while (replicas_.size() < groups) {
    const int group = static_cast<int>(replicas_.size());
    Parameters leaves;
    for (const auto& [name, tensor] : parameters_.items()) {
      const std::size_t number = leaves.items().size();
      const at::Tensor leaf = tensor.detach().requires_grad_(true);
      if (reducer_) {
        leaf.register_hook([this, group, number](const at::Tensor& gradient) {
          reducer_->Add(group, number, gradient);
        });
      }
      leaves.Add(name, leaf);
    }
    replicas_.push_back(std::move(leaves));
  }
}

GroupResult StepRunner::RunGroup(const Parameters& leaves, Group& group, const GroupTask& task,
                                 double share) const {
  const Autocast autocast(bf16_, device_.type());
  GroupResult result = trainee_.Forward(leaves, group, task);
  const at::Tensor loss = result.loss * share;
  loss.backward();
  result.loss = loss.detach();
  return result;
}

void StepRunner::AddGradients(int groups, std::vector<at::Tensor>& sums) {
  sums.resize(parameters_.items().size());
  for (std::size_t p = 0; p < sums.size(); ++p) {
    at::Tensor& sum = sums[p];
    for (int g = 0; g < groups; ++g) {
      at::Tensor leaf = replicas_[g].items()[p].second;
      if (leaf.grad().defined()) sum = sum.defined() ? sum.add_(leaf.grad()) : leaf.grad();
      leaf.mutable_grad().reset();
    }
  }
}

StepResult StepRunner::Run(const Stage& stage, std::int64_t step, int total_samples, bool show,
                           const std::function<Batch&(int part)>& take) {
  StepResult result;
  result.prompts.resize(recipe_.prompts.size());
  std::vector<at::Tensor> sums;
  int number = 0;  // of the group, in the whole step
  for (int part = 0; part < stage.accumulate; ++part) {
    Batch& batch = take(part);
    std::vector<int> own;
    for (std::size_t g = 0; g < batch.size(); ++g) {
      if (!batch[g].input.empty()) own.push_back(static_cast<int>(g));
    }
    const int groups = static_cast<int>(own.size());
    Reserve(own.size());
    const auto share = [&](int i) {
      return static_cast<double>(batch[own[i]].samples) / total_samples;
    };
    std::vector<GroupResult> results(own.size());
    const bool reduce = reducer_ && part + 1 == stage.accumulate;
    if (reduce) reducer_->Begin(groups, std::move(sums));
    std::string why;
    const bool fits = Fits(
        [&] {
          pool_.Run(groups, [&](int i) {
            const bool first = i == 0 || batch[own[i]].prompt != batch[own[i - 1]].prompt;
            const GroupTask task{&stage, step, number + own[i], show && part == 0 && first};
            results[i] = RunGroup(replicas_[i], batch[own[i]], task, share(i));
          });
        },
        &why);
    if (!fits) Advise(stage, batch[own[0]], why);
    if (reduce) sums = reducer_->End();
    if (reduce) {
      std::vector<at::Tensor> summed_already;
      AddGradients(groups, summed_already);
    } else {
      AddGradients(groups, sums);
    }

    for (int i = 0; i < groups; ++i) {
      const GroupResult& one = results[i];
      const Group& group = batch[own[i]];
      const double loss = one.loss.item<double>();
      if (!std::isfinite(loss) && result.bad.empty()) {
        result.bad = "group " + std::to_string(number + own[i]) + " (prompt " +
                     recipe_.prompts[group.prompt] + ")";
      }
      result.loss += loss;
      result.cpr += one.cpr * share(i);
      result.router_hits += one.router_hits * share(i);
      StepResult::PerPrompt& row = result.prompts[group.prompt];
      row.samples += group.samples;
      row.psnr_input += group.samples * one.psnr_input;
      row.psnr_first += group.samples * one.psnr_first;
      row.psnr += group.samples * one.psnr;
      result.sheet.insert(result.sheet.end(), one.sheet.begin(), one.sheet.end());
    }
    number += static_cast<int>(batch.size());
  }
  for (std::size_t p = 0; p < sums.size(); ++p) {
    at::Tensor parameter = parameters_.items()[p].second;
    parameter.mutable_grad() = sums[p];
  }

  std::vector<double> numbers = {result.loss, result.cpr, result.router_hits};
  for (const StepResult::PerPrompt& row : result.prompts) {
    numbers.insert(numbers.end(), {row.samples, row.psnr_input, row.psnr_first, row.psnr});
  }
  if (communicator_) communicator_->Sum(numbers.data(), numbers.size());
  result.loss = numbers[0];
  result.cpr = numbers[1];
  result.router_hits = numbers[2];
  for (std::size_t p = 0; p < result.prompts.size(); ++p) {
    const double* row = numbers.data() + 3 + 4 * p;
    const double samples = std::max(row[0], 1.0);
    result.prompts[p] = {row[0], row[1] / samples, row[2] / samples, row[3] / samples};
  }
  return result;
}

void StepRunner::Advise(const Stage& stage, const Group& group, const std::string& what) {
  if (reducer_) reducer_->Cancel();
  std::vector<at::Tensor> dropped;
  AddGradients(static_cast<int>(replicas_.size()), dropped);
  dropped.clear();
  // Tries what less would do: fewer groups side by side, then smaller ones.
  const auto fits = [&](int side_by_side, int samples) {
    const auto values = static_cast<std::ptrdiff_t>(stage.patch) * stage.patch * 3 * samples;
    const bool enough = Fits([&] {
      Group part;
      part.prompt = group.prompt;
      part.samples = samples;
      part.frames = group.frames;
      for (std::size_t t = 0; t < group.input.size(); ++t) {
        part.input.emplace_back(group.input[t].begin(), group.input[t].begin() + values);
        part.target.emplace_back(group.target[t].begin(), group.target[t].begin() + values);
      }
      std::vector<Group> some(side_by_side, part);
      pool_.Run(side_by_side, [&](int i) {
        RunGroup(replicas_[i], some[i], {&stage, 0, 0, false}, 1);
      });
    });
    AddGradients(side_by_side, dropped);
    dropped.clear();
    return enough;
  };
  const int threads = std::min<int>(pool_.threads(), static_cast<int>(replicas_.size()));
  std::string remedy;
  for (int t = threads / 2; t >= 1 && remedy.empty(); t /= 2) {
    if (fits(t, group.samples)) {
      remedy = "run.threads=" + std::to_string(t) + " would fit, with the batch as it is";
    }
  }
  for (int n = group.samples / 2; n >= 1 && remedy.empty(); n /= 2) {
    if (fits(1, n)) {
      remedy = "a batch of at most " + std::to_string(n) +
               " samples of each prompt would fit with run.threads=1; 'accumulate' makes up for it";
    }
  }
  if (remedy.empty()) remedy = "not even one sample fits: lower the stage's 'patch' or 'frames'";
  throw Error(ErrorCode::kOutOfMemory,
              "out of memory in stage '" + stage.name + "', with " + std::to_string(threads) +
                  " groups of up to " + std::to_string(group.samples) + " samples of " +
                  std::to_string(stage.patch) + "x" + std::to_string(stage.patch) + " pixels and " +
                  std::to_string(stage.frames) + " frames side by side (" +
                  what.substr(0, what.find('\n')) + "); " + remedy);
}

}  // namespace cpl::train
