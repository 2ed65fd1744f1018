// The folder of a store: its layout, how it comes to be, and what is swept away at opening.
//
//   FORMAT          "parsl_tl model store\nformat 3\ncompression none\nhashes 2\nid <32 digits>\n",
//                   written last: without it there is no store. Where it is part of one,
//                   "server 0 of 2\nstores <id> <id>\n" follows
//   lock            the advisory lock of writers
//   log             see log.hpp
//   segments/       <model id>.seg, see segment.hpp
//   tmp/            what writers have not published yet
//   reserve         space kept back for a full disk, see reserve.hpp
//   intent          which segments the writer at work may leave behind, see intent.hpp
//   snapshot        see snapshot.hpp; may be missing
//   snapshot.lock   the advisory lock of the process that makes one
//   server.lock     that of the server that knows of attempts to store models, see attempts.hpp
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "file.hpp"
#include "membership.hpp"
#include "segment.hpp"
#include "store_id.hpp"

namespace parsl_tl {

constexpr int kFormatVersion = 3;

/// What FORMAT says.
struct Format {
  Codec codec = Codec::kRaw;
  StoreId id;
  Membership membership;
  StoreIds stores;  // of all servers, its own included; empty for a store of one
  bool operator==(const Format&) const = default;
};
std::string format_text(const Format& format);
/// Throws kFormat, naming `where`, for what is no such text, and for other versions.
Format parse_format(std::string_view text, const std::string& where);

/// Where a store in this folder has what a model owns.
std::string segment_path(const std::string& folder, std::uint64_t owner);

class Folder {
 public:
  /// Opens the folder, making it if it is missing or empty and `writable`. The codec is the
  /// store's for good: nothing to take it as it is.
  ///
  /// Throws kFormat for a folder that holds something else or a newer format, kPermission if it
  /// cannot be used, kIo on a network file system (locks and mappings are not coherent there).
  /// With `shared`, a new store is the group's too, and an old one has to be; see access.hpp.
  Folder(const std::string& path, bool writable, std::optional<Codec> codec, bool shared = false);

  /// Throws kFormat, with one text for whoever finds it out, if the folder or a part of it is gone.
  void require_parts() const;
  /// The lock of writers, or the shared one of who opens the store to read.
  FileLock lock(bool exclusive) const;
  /// What had to be changed at opening, once.
  std::optional<std::string> take_warning() { return std::exchange(warning_, std::nullopt); }

  const std::string& path() const noexcept { return path_; }
  std::string lock_path() const { return path_ + "/lock"; }
  std::string log_path() const { return path_ + "/log"; }
  Codec codec() const noexcept { return codec_; }
  Membership membership() const noexcept { return std::bit_cast<Membership>(membership_.load()); }
  const StoreId& id() const noexcept { return id_; }
  /// All servers of the store, in their order.
  std::shared_ptr<const StoreIds> stores() const;
  /// Writes FORMAT anew: the folder is the `index`-th of these. With the exclusive lock held.
  void set_stores(StoreIds stores, std::uint32_t index);
  /// Throws kWrongStore if another store lies where this one was opened.
  void require_same_store() const;
  std::string intent_path() const { return path_ + "/intent"; }
  std::string snapshot_path() const { return path_ + "/snapshot"; }
  std::string snapshot_lock_path() const { return path_ + "/snapshot.lock"; }
  std::string reserve_path() const { return path_ + "/reserve"; }
  std::string temporary_path() const { return path_ + "/tmp"; }
  std::string segments_path() const { return path_ + "/segments"; }
  std::string segment_path(std::uint64_t owner) const {
    return parsl_tl::segment_path(path_, owner);
  }

  /// Removes what dead writers left in tmp/: files whose lock is free.
  void sweep_temporary() const;
  /// Removes segments that `is_known` denies; looks at every file. With the exclusive lock held and
  /// the log read to its end. Returns their bytes.
  std::uint64_t sweep_segments(const std::function<bool(std::uint64_t)>& is_known) const;

 private:
  void prepare(bool writable, std::optional<Codec> codec, bool shared);
  void create(Codec codec, bool shared) const;
  void require_shared() const;
  void read_format();
  void write_format(const Format& format) const;

  Codec codec_ = Codec::kRaw;
  StoreId id_;
  mutable std::mutex stores_mutex_;
  std::shared_ptr<const StoreIds> stores_;
  // As one number, since others read while it changes.
  std::atomic<std::uint64_t> membership_ = std::bit_cast<std::uint64_t>(Membership());
  std::string path_;
  std::optional<std::string> warning_;
};

}  // namespace parsl_tl
