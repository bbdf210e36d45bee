//! Colours in a space where distances are roughly as people see them.

/// An sRGB colour, 0..255 a channel, as CIE L\*a\*b\* (D65): L 0..100, a and b roughly -110..110.
pub(crate) fn lab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = v / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    });
    let bend = |t: f32| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
    let x = bend((0.412_456 * r + 0.357_576 * g + 0.180_438 * b) / 0.950_47);
    let y = bend(0.212_673 * r + 0.715_152 * g + 0.072_175 * b);
    let z = bend((0.019_334 * r + 0.119_192 * g + 0.950_304 * b) / 1.088_83);
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_colours() {
        for (rgb, expected) in [
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([255.0, 255.0, 255.0], [100.0, 0.0, 0.0]),
            ([255.0, 0.0, 0.0], [53.24, 80.09, 67.2]),
            ([0.0, 0.0, 255.0], [32.3, 79.19, -107.86]),
        ] {
            for (a, b) in lab(rgb).iter().zip(expected) {
                assert!((a - b).abs() < 0.1, "{rgb:?} {:?}", lab(rgb));
            }
        }
    }
}
