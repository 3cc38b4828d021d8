//! Quantiles for intervals of 95 %.

/// Quantile of the normal distribution for 95 %.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// Quantiles of Student's t for 95 %, by degrees of freedom from 1 on.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Quantile of Student's t for 95 %: between the degrees of freedom of the table on a straight line over their inverse, beyond it by the
/// expansion of Fisher.
pub(super) fn student(freedom: f64) -> f64 {
    let freedom = freedom.max(1.0);
    let fewer = freedom as usize;
    match STUDENT.get(fewer - 1..=fewer) {
        Some(&[more_spread, less_spread]) => {
            let inverse = |freedom: f64| 1.0 / freedom - 1.0 / (fewer + 1) as f64;
            less_spread + inverse(freedom) / inverse(fewer as f64) * (more_spread - less_spread)
        }
        _ => {
            let (cube, fifth) = (Z.powi(3), Z.powi(5));
            Z + (cube + Z) / (4.0 * freedom) + (5.0 * fifth + 16.0 * cube + 3.0 * Z) / (96.0 * freedom * freedom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_students() {
        let near = |freedom: f64, quantile: f64| assert!((student(freedom) - quantile).abs() < 1e-3, "{freedom}");
        [(0.0, 12.706), (1.0, 12.706), (2.0, 4.303), (29.0, 2.045), (30.0, 2.042)]
            .into_iter()
            .for_each(|(of, is)| near(of, is));
        assert!((4.303..12.706).contains(&student(1.5)) && (student(28.9999) - student(29.0)).abs() < 1e-4);
        // Tables give 2.0211 for 40 and 1.9840 for 100.
        assert!((student(40.0) - 2.021_1).abs() < 1e-4 && (student(100.0) - 1.984).abs() < 1e-4);
        assert!((student(1e9) - Z).abs() < 1e-6);
    }
}
