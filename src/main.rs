//! The `weighbridge` program: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Small and short-lived allocations dominate a proxy; the C library's allocator keeps the memory
/// of large bodies for good (70 MB and more were measured), this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    weighbridge::cli::main(std::env::args_os())
}
