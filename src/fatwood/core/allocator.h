// How the process treats memory. glibc gives large blocks back to the system at every free and
// faults in fresh pages at the next allocation, which costs a training step up to a third of its
// time; and an error that runs out of memory while it is being handled ends the process.
#pragma once

namespace fatwood {

/// Tells glibc's allocator to keep what is freed, once per process. Does nothing when the user has
/// set MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES, or on another C library.
/// `Learner` calls it; measured in docs/decisions.md.
void keep_freed_memory();

/// Sets a megabyte aside that is given back when operator new fails, which then throws
/// std::bad_alloc: what unwinds may need memory itself (destructors of JSON values do, and must not
/// throw). For a program's start; replaces the new handler.
void reserve_memory_for_errors();

/// Sets it aside again after it was used. Does nothing in a program that never reserved.
void renew_reserve();

}  // namespace fatwood
