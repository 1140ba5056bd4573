//! A model without dependencies: `cargo build --release --target wasm32-unknown-unknown`.
#![no_std]

/// A panic ends the unit: it gets the default of `model.toml`.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// The parameters are those of `model.toml`, in its order: f64, f32, i64 or i32.
#[no_mangle]
pub extern "C" fn score(age: f64, income: f64) -> f64 {
    let youth = if age < 30.0 { 0.2 } else { 0.1 };
    youth + 0.5 * (10_000.0 / (10_000.0 + income))
}
