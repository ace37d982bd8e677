// The SIMD targets that encoders and decoders are compiled for: SSE4, AVX2, AVX-512 or NEON, and Highway's scalar target, which
// is the fallback and, in tests, the oracle. Included before any Highway header. Files that use it are compiled once per target
// (hwy/foreach_target.h); the best target that the CPU has is chosen at run time.
//
// Every target writes the same bytes: lanes are blocks, sub-blocks or groups, never parts of one sum; no fused multiply-add
// (-ffp-contract=off), no approximate reciprocal. So plain loops over lanes may be left to the compiler's vectoriser.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
