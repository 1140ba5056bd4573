//! The model of `../c/concentration.c`, operation by operation, so that both give the same bits.
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// Bands of 25,000 yuan; the last one is open.
fn band_of(x: f64) -> usize {
    if x >= 175_000.0 {
        7
    } else if x >= 25_000.0 {
        (x / 25_000.0) as usize
    } else {
        0
    }
}

#[no_mangle]
pub extern "C" fn score(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let mut bands = [0.0; 8];
    for sum in [a, b, c, d] {
        let band = band_of(sum);
        bands[band] += 1.0;
        if band > 0 {
            bands[band - 1] += 0.5;
        }
        if band < 7 {
            bands[band + 1] += 0.5;
        }
    }
    let (mut total, mut squares) = (0.0, 0.0);
    for x in bands {
        total += x;
        squares += x * x;
    }
    squares / (total * total)
}
