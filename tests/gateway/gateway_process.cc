// SPDX-License-Identifier: Apache-2.0
#include "tests/gateway/gateway_process.h"

#include <fcntl.h>
#include <httplib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <regex>
#include <sstream>
#include <thread>

namespace cpl::gateway_test {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// What must not run between fork and exec is done before.
pid_t Spawn(const std::vector<std::string>& arguments, const fs::path& log,
            const std::map<std::string, std::string>& env) {
  std::vector<std::string> all = {CPL_GATEWAY_EXE};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv, envp;
  for (std::string& one : all) argv.push_back(one.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string variable = *one;
    if (env.count(variable.substr(0, variable.find('='))) == 0) variables.push_back(variable);
  }
  for (const auto& [name, value] : env) variables.push_back(name + "=" + value);
  for (std::string& one : variables) envp.push_back(one.data());
  envp.push_back(nullptr);
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is ended leaves nothing behind
    dup2(file, STDERR_FILENO);
    dup2(file, STDOUT_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(file);
  return pid;
}

int PortAfter(const std::string& log, const std::string& scheme) {
  std::smatch match;
  const std::regex pattern(scheme + R"(://127\.0\.0\.1:(\d+))");
  return std::regex_search(log, match, pattern) ? std::stoi(match[1]) : 0;
}

}  // namespace

bool WaitFor(const std::function<bool()>& condition, int seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return condition();
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

TempFolder::TempFolder()
    : path_(fs::temp_directory_path() /
            ("cpl-gateway-test-" + std::to_string(std::random_device()()))) {
  fs::create_directories(path_);
}

TempFolder::~TempFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

GatewayProcess::GatewayProcess(const std::string& cameras,
                               const std::map<std::string, std::string>& env,
                               const std::string& server)
    : server_(server) {
  Write(cameras);
  pid_ = Spawn({(folder_.path() / "cameras.toml").string()}, folder_.path() / "log", env);
  WaitFor([&] {
    const std::string log = LogText();
    rtsp_port_ = PortAfter(log, "rtsp");
    http_port_ = PortAfter(log, "http");
    return (http_port_ > 0 && log.find("page and metrics") != std::string::npos) || !IsRunning();
  });
}

GatewayProcess::~GatewayProcess() {
  if (const char* keep = std::getenv("CPL_KEEP_LOG")) std::ofstream(keep) << LogText();
  if (!IsRunning()) return;
  kill(pid_, SIGKILL);
  WaitForEnd();
}

void GatewayProcess::Write(const std::string& cameras) const {
  std::ofstream(folder_.path() / "cameras.toml") << "[rtsp]\nport = 0\n"
                                                 << server_ << "\n[http]\nport = 0\n"
                                                 << cameras;
}

void GatewayProcess::Signal(int signal) const { kill(pid_, signal); }

bool GatewayProcess::IsRunning() {
  siginfo_t info = {};
  return pid_ > 0 &&
         waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

int GatewayProcess::WaitForEnd() {
  if (!WaitFor([&] { return !IsRunning(); })) return -1;
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string GatewayProcess::LogText() const { return ReadAll(folder_.path() / "log"); }

std::string GatewayProcess::RtspUrl(const std::string& camera) const {
  return "rtsp://127.0.0.1:" + std::to_string(rtsp_port_) + "/" + camera;
}

std::string GatewayProcess::Get(const std::string& path, int* status) const {
  httplib::Client client("127.0.0.1", http_port_);
  client.set_read_timeout(20);
  const auto answer = client.Get(path);
  if (status != nullptr) *status = answer ? answer->status : 0;
  return answer ? answer->body : "";
}

nlohmann::json GatewayProcess::Camera(const std::string& name) const {
  const auto all = nlohmann::json::parse(Get("/api/cameras"), nullptr, false);
  if (all.is_discarded()) return nullptr;
  for (const auto& camera : all["cameras"]) {
    if (camera["name"] == name) return camera;
  }
  return nullptr;
}

double GatewayProcess::Metric(const std::string& start) const {
  std::istringstream lines(Get("/metrics"));
  double sum = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(start, 0) == 0) sum += std::atof(line.substr(line.rfind(' ')).c_str());
  }
  return sum;
}

bool GatewayProcess::WaitForState(const std::string& camera, const std::string& state) const {
  return WaitFor([&] {
    const auto now = Camera(camera);
    return now.is_object() && now["state"] == state;
  });
}

bool GatewayProcess::WaitForFrames(const std::string& camera, int more) const {
  const auto frames = [&] {
    const auto now = Camera(camera);
    return now.is_object() ? now["frames"].get<long>() : -1;
  };
  const long first = frames();
  return WaitFor([&] { return frames() >= first + more; });
}

std::string RunGateway(const std::vector<std::string>& arguments, int* status) {
  const TempFolder folder;
  const pid_t pid = Spawn(arguments, folder.path() / "log", {});
  int ended = 0;
  waitpid(pid, &ended, 0);
  *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
  return ReadAll(folder.path() / "log");
}

}  // namespace cpl::gateway_test
