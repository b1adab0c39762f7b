#pragma once
// Work on many spans of elements as if they were one, in ranges that threads take one by one.
#include <algorithm>
#include <vector>

#include "chunks.h"
#include "thread_pool.h"

namespace fo {

// Spans have `start`, their first element in a flat list, and `length`; they follow each other in that list
// and have `total` elements together. Calls f(span, from, to) for pieces of them, which begin and end at
// multiples of `align` in their span.
template <class Spans, class F>
void sweep(const Spans& spans, uint64_t total, int threads, uint64_t align, const F& f) {
  const Chunks chunks = cut(total, threads);
  const uint64_t first = spans.begin() == spans.end() ? 0 : spans.begin()->start;
  parallel_for(threads, chunks.count(), [&](uint64_t i) {
    const uint64_t begin = first + chunks.begin(i), end = first + chunks.end(i);
    auto span = std::upper_bound(spans.begin(), spans.end(), begin,
                                 [](uint64_t flat, const auto& s) { return flat < s.start; });
    span = span == spans.begin() ? span : span - 1;
    for (; span != spans.end() && span->start < end; ++span) {
      const uint64_t from = cut_inside(begin, span->start, span->length, align);
      const uint64_t to = end >= span->start + span->length
                              ? span->length
                              : cut_inside(end, span->start, span->length, align);
      if (from < to) f(*span, from, to);
    }
  });
}

}  // namespace fo
