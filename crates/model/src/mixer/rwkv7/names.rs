//! What the authors' code calls the parameters of the time mix (RWKV-v7/rwkv_v7_demo.py).

/// Parameters by their whole path have their names; of modules, the weight is theirs transposed. Low-rank factors are not.
pub(super) fn of(parameter: &str) -> &'static [&'static str] {
    match parameter {
        "mix_receptance" => &["x_r"],
        "mix_decay" => &["x_w"],
        "mix_key" => &["x_k"],
        "mix_value" => &["x_v"],
        "mix_rate" => &["x_a"],
        "mix_gate" => &["x_g"],
        "decay.second.bias" => &["w0"],
        "decay.first.weight" => &["w1"],
        "decay.second.weight" => &["w2"],
        "rate.second.bias" => &["a0"],
        "rate.first.weight" => &["a1"],
        "rate.second.weight" => &["a2"],
        "first_value.second.bias" => &["v0"],
        "first_value.first.weight" => &["v1"],
        "first_value.second.weight" => &["v2"],
        "gate.first.weight" => &["g1"],
        "gate.second.weight" => &["g2"],
        "removal_key" => &["k_k"],
        "rate_key" => &["k_a"],
        "bonus" => &["r_k"],
        "head_gamma" => &["ln_x.weight"],
        "head_beta" => &["ln_x.bias"],
        "receptance" => &["receptance"],
        "key" => &["key"],
        "value" => &["value"],
        "output" => &["output"],
        _ => &[],
    }
}
