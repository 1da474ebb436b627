// glibc gives large blocks back to the system at every free and faults in fresh pages at the next
// allocation, which costs a training step up to a third of its time.
#pragma once

namespace fatwood {

/// Tells glibc's allocator to keep what is freed, once per process. Does nothing when the user has
/// set MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES, or on another C library.
/// `Learner` calls it; measured in docs/decisions.md.
void keep_freed_memory();

}  // namespace fatwood
