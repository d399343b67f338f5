//! The `weighbridge` program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Small and short-lived allocations dominate a proxy, and large bodies must not stay: the C
/// library's allocator keeps their memory for good (70 MB and more were measured), others give it
/// back only while something is allocated. This one has a thread that does it in idle time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    weighbridge::cli::main(std::env::args_os())
}
