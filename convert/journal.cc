#include "convert/journal.h"

#include <algorithm>
#include <array>
#include <bit>
#include <type_traits>

namespace ggufmill {
namespace {

constexpr size_t kCheckBytes = 16;
constexpr size_t kHeadBytes = 8;
// The largest record is a FileHashRecord of a file with every tensor of a model: 16 bytes each, far below this.
constexpr uint32_t kMaxPayload = 64 << 20;

class Writer {
 public:
  template <typename T>
  requires std::is_integral_v<T>
  void put(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) out_.push_back(static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * i)));
  }
  void put(double value) { put(std::bit_cast<uint64_t>(value)); }
  void bytes(std::span<const std::byte> data) { out_.insert(out_.end(), data.begin(), data.end()); }
  void text(std::string_view value) {
    put(static_cast<uint32_t>(value.size()));
    bytes(as_bytes(value));
  }
  void sum(const ExactSum& value) {
    const std::vector<std::byte> data = value.serialize();
    put(static_cast<uint32_t>(data.size()));
    bytes(data);
  }
  std::vector<std::byte>& data() { return out_; }

 private:
  std::vector<std::byte> out_;
};

// Reads a payload; ok() turns false where it is too short or odd, and values are zero from there.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> data) : data_(data) {}
  template <typename T>
  requires std::is_integral_v<T>
  void get(T& value) {
    uint64_t bits = 0;
    const auto part = take(sizeof(T));
    for (size_t i = 0; i < part.size(); ++i) bits |= static_cast<uint64_t>(part[i]) << (8 * i);
    value = static_cast<T>(bits);
  }
  void get(double& value) {
    uint64_t bits;
    get(bits);
    value = std::bit_cast<double>(bits);
  }
  template <size_t N>
  void get(std::array<std::byte, N>& value) {
    const auto part = take(N);
    std::ranges::copy(part, value.begin());
  }
  void text(std::string& value) {
    uint32_t size;
    get(size);
    const auto part = take(size);
    value.assign(reinterpret_cast<const char*>(part.data()), part.size());
  }
  void sum(ExactSum& value) {
    uint32_t size;
    get(size);
    const auto read = ExactSum::deserialize(take(size));
    ok_ = ok_ && read.has_value();
    if (read) value = *read;
  }
  // A count of elements of at least `element_bytes` each, checked against what is left.
  uint32_t count(size_t element_bytes) {
    uint32_t n;
    get(n);
    if (n > data_.size() / element_bytes) ok_ = false;
    return ok_ ? n : 0;
  }
  bool ok() const { return ok_; }
  bool done() const { return ok_ && data_.empty(); }

 private:
  std::span<const std::byte> take(size_t n) {
    if (n > data_.size()) {
      ok_ = false;
      n = 0;
    }
    const auto part = data_.first(n);
    data_ = data_.subspan(n);
    return part;
  }
  std::span<const std::byte> data_;
  bool ok_ = true;
};

void put(Writer& w, const FileId& id) {
  w.put(id.device), w.put(id.inode), w.put(id.bytes), w.put(id.mtime_ns), w.put(id.ctime_ns);
}
void get(Reader& r, FileId& id) { r.get(id.device), r.get(id.inode), r.get(id.bytes), r.get(id.mtime_ns), r.get(id.ctime_ns); }

void put(Writer& w, const PlanRecord& p) {
  w.put(p.version);
  w.bytes(p.digest.bytes);
  w.put(static_cast<uint32_t>(p.parts.size()));
  for (const DigestPart& part : p.parts) w.text(part.what), w.bytes(part.hash.bytes);
}
void get(Reader& r, PlanRecord& p) {
  r.get(p.version);
  r.get(p.digest.bytes);
  p.parts.resize(r.count(36));
  for (DigestPart& part : p.parts) r.text(part.what), r.get(part.hash.bytes);
}

void put(Writer& w, const ShardRecord& s) { w.put(s.shard), put(w, s.id); }
void get(Reader& r, ShardRecord& s) { r.get(s.shard), get(r, s.id); }

void put(Writer& w, const RowsRecord& x) {
  w.put(x.tensor), w.put(x.shard), w.put(x.first_row), w.put(x.rows);
  w.bytes(x.hash.bytes);
  w.sum(x.squared_error), w.sum(x.squared_value);
  w.put(static_cast<uint32_t>(x.worst.has_value()));
  if (x.worst) w.put(x.worst->row), w.put(x.worst->column), w.put(x.worst->relative_error);
  w.put(x.coarse_blocks), w.put(x.nan_count), w.put(x.inf_count);
}
void get(Reader& r, RowsRecord& x) {
  r.get(x.tensor), r.get(x.shard), r.get(x.first_row), r.get(x.rows);
  r.get(x.hash.bytes);
  r.sum(x.squared_error), r.sum(x.squared_value);
  uint32_t has_worst;
  r.get(has_worst);
  if (has_worst != 0) {
    x.worst.emplace();
    r.get(x.worst->row), r.get(x.worst->column), r.get(x.worst->relative_error);
  }
  r.get(x.coarse_blocks), r.get(x.nan_count), r.get(x.inf_count);
}

void put(Writer& w, const ShardHashRecord& s) { w.put(s.shard), w.bytes(s.sha256.bytes); }
void get(Reader& r, ShardHashRecord& s) { r.get(s.shard), r.get(s.sha256.bytes); }

void put(Writer& w, const FileHashRecord& f) {
  w.put(f.file), w.bytes(f.sha256.bytes), w.bytes(f.header_hash.bytes);
  w.put(static_cast<uint32_t>(f.tensor_hashes.size()));
  for (const Xxh128& h : f.tensor_hashes) w.bytes(h.bytes);
}
void get(Reader& r, FileHashRecord& f) {
  r.get(f.file), r.get(f.sha256.bytes), r.get(f.header_hash.bytes);
  f.tensor_hashes.resize(r.count(16));
  for (Xxh128& h : f.tensor_hashes) r.get(h.bytes);
}

void put(Writer& w, const VoidRecord& v) { w.put(static_cast<uint32_t>(v.what)), w.put(v.id); }
void get(Reader& r, VoidRecord& v) {
  uint32_t what;
  r.get(what), r.get(v.id);
  v.what = static_cast<VoidRecord::What>(what);
}

void put(Writer& w, const FinishRecord& f) {
  w.put(static_cast<uint32_t>(f.replace));
  w.put(static_cast<uint32_t>(f.files.size()));
  for (const FinishRecord::File& file : f.files) w.text(file.name), w.put(file.bytes), w.bytes(file.sha256.bytes);
}
void get(Reader& r, FinishRecord& f) {
  uint32_t replace;
  r.get(replace);
  f.replace = replace != 0;
  f.files.resize(r.count(44));
  for (FinishRecord::File& file : f.files) r.text(file.name), r.get(file.bytes), r.get(file.sha256.bytes);
}

// The type number of a record is its alternative's index in the variant.
template <size_t I = 0>
std::optional<JournalRecord> decode(uint32_t type, std::span<const std::byte> payload) {
  if constexpr (I == std::variant_size_v<JournalRecord>) {
    return std::nullopt;
  } else {
    if (type != I) return decode<I + 1>(type, payload);
    std::variant_alternative_t<I, JournalRecord> record;
    Reader reader(payload);
    get(reader, record);
    return reader.done() ? std::optional<JournalRecord>(std::move(record)) : std::nullopt;
  }
}

std::vector<std::byte> encode(const JournalRecord& record) {
  Writer payload;
  std::visit([&](const auto& r) { put(payload, r); }, record);
  Writer out;
  out.put(static_cast<uint32_t>(record.index()));
  out.put(static_cast<uint32_t>(payload.data().size()));
  out.bytes(payload.data());
  out.bytes(xxh128(out.data()).bytes);
  return std::move(out.data());
}

// Reads records from an open file one after the other until the first that is torn or damaged.
class RecordStream {
 public:
  explicit RecordStream(const OutputFile& file) : file_(file), file_bytes_(file.bytes()) {}
  std::optional<JournalRecord> next() {
    if (file_bytes_ - offset_ < kHeadBytes + kCheckBytes) return std::nullopt;
    std::array<std::byte, kHeadBytes> head;
    file_.read_exact(offset_, head);
    uint32_t type, payload;
    Reader(std::span(head).first(4)).get(type);
    Reader(std::span(head).subspan(4)).get(payload);
    if (payload > kMaxPayload || file_bytes_ - offset_ < kHeadBytes + payload + kCheckBytes) return std::nullopt;
    buffer_.resize(kHeadBytes + payload + kCheckBytes);
    file_.read_exact(offset_, buffer_);
    const auto checked = std::span<const std::byte>(buffer_).first(kHeadBytes + payload);
    if (!std::ranges::equal(xxh128(checked).bytes, std::span(buffer_).last(kCheckBytes))) return std::nullopt;
    std::optional<JournalRecord> record = decode(type, checked.subspan(kHeadBytes));
    if (record) offset_ += buffer_.size();
    return record;
  }
  uint64_t offset() const { return offset_; }

 private:
  const OutputFile& file_;
  uint64_t file_bytes_;
  uint64_t offset_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

Journal::Journal(const std::filesystem::path& path)
    : file_(path, std::filesystem::exists(std::filesystem::symlink_status(path)) ? OutputFile::Mode::kReopen
                                                                                 : OutputFile::Mode::kCreate) {
  RecordStream stream(file_);
  while (stream.next()) ++records_;
  bytes_ = stream.offset();
  if (file_.bytes() != bytes_) file_.truncate(bytes_);
}

void Journal::replay(const std::function<void(uint64_t, const JournalRecord&)>& visit) const {
  RecordStream stream(file_);
  for (uint64_t number = 0; auto record = stream.next(); ++number) visit(number, *record);
}

void Journal::append(const JournalRecord& record) {
  const std::vector<std::byte> bytes = encode(record);
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  ++records_;
}

void Journal::sync() {
  if (pending_.empty()) return;
  file_.write_exact(bytes_, pending_);
  file_.sync_data();
  bytes_ += pending_.size();
  pending_.clear();
}

}  // namespace ggufmill
