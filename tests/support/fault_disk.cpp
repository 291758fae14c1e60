// The names and bytes of the disk in memory, and what a power cut leaves of them.
#include "tests/support/fault_disk.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <cctype>

namespace waybill::test {

namespace {

constexpr std::uint64_t page_bytes = 4096;

std::uint64_t draw(std::mt19937_64& random, std::uint64_t most) {
  return std::uniform_int_distribution<std::uint64_t>{0, most}(random);
}

bool is_below(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

/// A prefix of the tail, then `filler` up to the old end or the end of its page.
template <class Filler>
void keep_prefix_and_fill(std::string& data, std::uint64_t synced, std::mt19937_64& random,
                          Filler filler) {
  const auto old_end = data.size();
  const auto page_end = (old_end + page_bytes - 1) / page_bytes * page_bytes;
  const auto end = draw(random, 1) == 0 ? old_end : page_end;
  data.resize(synced + draw(random, old_end - synced));
  while (data.size() < end)
    data.push_back(filler());
}

void shape_tail(file_node& file, tail mode, std::mt19937_64& random) {
  auto& data = file.data;
  switch (mode) {
  case tail::lost:
    data.resize(file.synced);
    break;
  case tail::whole:
    break;
  case tail::torn:
    data.resize(file.synced + draw(random, data.size() - file.synced));
    break;
  case tail::zeros:
    keep_prefix_and_fill(data, file.synced, random, [] { return '\0'; });
    break;
  case tail::garbage:
    keep_prefix_and_fill(data, file.synced, random,
                         [&random] { return static_cast<char>(draw(random, 255)); });
    break;
  case tail::pages:
    for (auto at = file.synced; at < data.size(); at = (at / page_bytes + 1) * page_bytes) {
      const auto end = std::min<std::uint64_t>(data.size(), (at / page_bytes + 1) * page_bytes);
      if (draw(random, 1) == 0)
        std::fill(data.begin() + static_cast<std::ptrdiff_t>(at),
                  data.begin() + static_cast<std::ptrdiff_t>(end), '\0');
    }
    break;
  case tail::drawn:
    WAYBILL_ASSERT(false);
  }
}

} // namespace

std::string clean_path(const std::string& path) {
  std::string cleaned;
  for (const char c : path)
    if (c != '/' || cleaned.empty() || cleaned.back() != '/')
      cleaned.push_back(c);
  if (cleaned.size() > 1 && cleaned.back() == '/')
    cleaned.pop_back();
  return cleaned;
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos)
    return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

file_kind kind_of(const std::string& path) {
  const auto name = name_of(path);
  if (name == "CURRENT")
    return file_kind::current;
  if (name == "LOCK")
    return file_kind::lock;
  if (name.starts_with("MANIFEST-"))
    return file_kind::manifest;
  const auto digits = static_cast<std::size_t>(
      std::ranges::find_if_not(name, [](unsigned char c) { return std::isdigit(c); }) -
      name.begin());
  if (digits == 0)
    return file_kind::other;
  const auto rest = name.substr(digits);
  if (rest == ".log")
    return file_kind::log;
  if (rest == ".ldb" || rest == ".sst")
    return file_kind::table;
  return rest == ".dbtmp" ? file_kind::temporary : file_kind::other;
}

fault_disk::fault_disk() {
  for (auto* names : {&now_, &durable_})
    names->directories = {"/", "."};
}

file_ptr fault_disk::find(const std::string& path) const {
  const auto found = now_.files.find(path);
  return found == now_.files.end() ? nullptr : found->second;
}

bool fault_disk::is_directory(const std::string& path) const {
  return now_.directories.contains(path);
}

bool fault_disk::parent_exists(const std::string& path) const {
  return is_directory(parent_of(path));
}

std::vector<std::string> fault_disk::children(const std::string& directory) const {
  std::vector<std::string> found;
  for (const auto& [path, file] : now_.files)
    if (parent_of(path) == directory)
      found.push_back(name_of(path));
  for (const auto& path : now_.directories)
    if (path != "/" && path != "." && parent_of(path) == directory)
      found.push_back(name_of(path));
  return found;
}

void fault_disk::apply(tree& names, const operation& what) {
  switch (what.what) {
  case change::create:
    names.files[what.path] = what.file;
    break;
  case change::make_directory:
    names.directories.insert(what.path);
    break;
  case change::remove:
    names.files.erase(what.path);
    break;
  case change::remove_directory:
    names.directories.erase(what.path);
    break;
  case change::rename: {
    if (const auto file = names.files.extract(what.path)) {
      names.files[what.target] = file.mapped();
      break;
    }
    tree moved;
    const auto target_of = [&what](const std::string& path) {
      return what.target + path.substr(what.path.size());
    };
    for (const auto& path : names.directories)
      moved.directories.insert(path == what.path || is_below(path, what.path) ? target_of(path)
                                                                              : path);
    for (const auto& [path, file] : names.files)
      moved.files[is_below(path, what.path) ? target_of(path) : path] = file;
    names = std::move(moved);
    break;
  }
  }
}

void fault_disk::change_names(operation what) {
  apply(now_, what);
  pending_.push_back(std::move(what));
}

file_ptr fault_disk::create(const std::string& path) {
  auto file = std::make_shared<file_node>();
  change_names({change::create, path, {}, file});
  return file;
}

void fault_disk::make_directory(const std::string& path) {
  change_names({change::make_directory, path, {}, {}});
}

void fault_disk::remove(const std::string& path) {
  change_names({change::remove, path, {}, find(path)});
}

void fault_disk::remove_directory(const std::string& path) {
  change_names({change::remove_directory, path, {}, {}});
}

void fault_disk::rename(const std::string& from, const std::string& to) {
  change_names({change::rename, from, to, find(from)});
}

void fault_disk::make_names_durable(std::size_t operations) {
  const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(operations);
  std::for_each(pending_.begin(), end, [this](const operation& each) { apply(durable_, each); });
  pending_.erase(pending_.begin(), end);
}

void fault_disk::sync(const std::string& path, const file_ptr& file) {
  file->synced = file->data.size();
  if (kind_of(path) == file_kind::manifest)
    return make_names_durable(pending_.size());
  for (auto count = pending_.size(); count > 0; --count)
    if (pending_[count - 1].file == file)
      return make_names_durable(count);
}

void fault_disk::sync_failed(const file_ptr& file) {
  if (file->synced < file->data.size())
    file->in_doubt.emplace_back(file->synced, file->data.size());
}

void fault_disk::lose(const std::string& path) {
  make_names_durable(pending_.size());
  now_.files.erase(path);
  durable_.files.erase(path);
}

void fault_disk::sync_all() {
  for (const auto& [path, file] : now_.files)
    file->synced = file->data.size();
  make_names_durable(pending_.size());
}

cut_report fault_disk::power_cut(std::mt19937_64& random, tail mode) {
  cut_report report;
  // A cut that leaves all unsynced bytes says nothing of names: how many survive is drawn alike.
  const auto kept = draw(random, pending_.size());
  report.operations_lost = pending_.size() - kept;
  make_names_durable(kept);
  pending_.clear();
  now_ = durable_;
  for (const auto& [path, file] : now_.files) {
    const auto unsynced = file->data.size() - file->synced;
    if (unsynced > 0) {
      const auto chosen =
          mode == tail::drawn
              ? static_cast<tail>(draw(random, static_cast<std::uint64_t>(tail::drawn) - 1))
              : mode;
      file_loss loss{path, chosen, file->synced, unsynced, 0};
      shape_tail(*file, chosen, random);
      loss.kept = file->data.size() - file->synced;
      report.files.push_back(loss);
    }
    for (const auto& [first, end] : file->in_doubt)
      for (auto at = first; at < std::min<std::uint64_t>(end, file->data.size()); ++at)
        file->data[at] = '\0';
    file->in_doubt.clear();
    file->synced = file->data.size();
  }
  return report;
}

} // namespace waybill::test
