//! The scorecard of `../credit_risk.wat`, operation by operation, so that both give the same bits.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// `x / (x + half)`: half of the way to 1 at `half`.
fn share(x: f64, half: f64) -> f64 {
    x / (x + half)
}

#[no_mangle]
pub extern "C" fn score(age: f64, income: f64, months: f64, debts: f64, education: f64) -> f64 {
    let youth = (45.0 - age) / 45.0;
    let mut z = -0.55 + 3.4 * share(debts, income + 10000.0);
    z = z + 0.5 * (youth * youth);
    z = z - 1.6 * share(income, 80000.0);
    z = z - 0.9 * share(months, 60.0);
    z = z - 0.12 * (education - 2.0);
    0.5 * (1.0 + z / (1.0 + z.abs()))
}
