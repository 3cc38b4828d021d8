//! What Hugging Face's files call the tensors of RWKV, beside the names of its authors.
//!
//! RWKV-4 as in transformers (`convert_rwkv_checkpoint_to_hf.py`), RWKV-7 as in flash-linear-attention (`convert_from_rwkv7.py`): there the
//! low-rank factors are transposed, most vectors are `[d]`, and older files have the six mixes of a time mix as one tensor `x_x`.

use super::{HEAD, RWKV4, RWKV7};
use crate::weights::foreign::{Foreign, Tensors};
use crate::weights::paper::{Layout, transpose};

/// Names of the authors and theirs.
type Pairs = &'static [(&'static str, &'static str)];

/// How a model's names are made there.
struct Naming {
    /// The authors' name of a parameter that only this model has.
    own: &'static str,
    /// Before all names but the head's.
    prefix: &'static str,
    /// Tensors outside the blocks.
    roots: Pairs,
    blocks: &'static str,
    /// Parts of a block.
    parts: Pairs,
    /// Parameters of a time mix; what is not here has its name.
    att: Pairs,
    /// Of a channel mix.
    ffn: Pairs,
    /// A tensor that tells such a file.
    mark: &'static str,
}

static OF_RWKV4: Naming = Naming {
    own: RWKV4,
    prefix: "rwkv.",
    roots: &[("emb", "embeddings"), ("ln_out", "ln_out"), ("head", "head")],
    blocks: "blocks",
    parts: &[("ln0", "pre_ln"), ("ln1", "ln1"), ("ln2", "ln2"), ("att", "attention"), ("ffn", "feed_forward")],
    att: &[("time_mix_k", "time_mix_key"), ("time_mix_v", "time_mix_value"), ("time_mix_r", "time_mix_receptance")],
    ffn: &[("time_mix_k", "time_mix_key"), ("time_mix_r", "time_mix_receptance")],
    mark: "blocks.0.attention.time_decay",
};

static OF_RWKV7: Naming = Naming {
    own: RWKV7,
    prefix: "model.",
    roots: &[("emb", "embeddings"), ("ln_out", "norm"), ("head", "lm_head")],
    blocks: "layers",
    parts: &[("ln0", "pre_norm"), ("ln1", "attn_norm"), ("ln2", "ffn_norm"), ("att", "attn"), ("ffn", "ffn")],
    att: &[
        ("receptance", "r_proj"),
        ("key", "k_proj"),
        ("value", "v_proj"),
        ("output", "o_proj"),
        ("ln_x", "g_norm"),
        ("w0", "w_lora.lora.2.bias"),
        ("w1", "w_lora.lora.0.weight"),
        ("w2", "w_lora.lora.2.weight"),
        ("a0", "a_lora.lora.2.bias"),
        ("a1", "a_lora.lora.0.weight"),
        ("a2", "a_lora.lora.2.weight"),
        ("v0", "v_lora.lora.2.bias"),
        ("v1", "v_lora.lora.0.weight"),
        ("v2", "v_lora.lora.2.weight"),
        ("g1", "g_lora.lora.0.weight"),
        ("g2", "g_lora.lora.2.weight"),
    ],
    ffn: &[],
    mark: "layers.0.attn.r_k",
};

/// The six mixes of `x_x`, in their order.
const MIXES: [&str; 6] = ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"];

/// Which way a name is translated.
#[derive(Debug, Clone, Copy)]
enum Towards {
    Authors,
    Theirs,
}

impl Towards {
    /// What a pair says of the name at hand, and of the one to make.
    fn of<'a>(self, (authors, theirs): (&'a str, &'a str)) -> (&'a str, &'a str) {
        match self {
            Self::Authors => (theirs, authors),
            Self::Theirs => (authors, theirs),
        }
    }

    /// A name that begins as one of the pairs does.
    fn translate(self, name: &str, pairs: Pairs) -> Option<String> {
        pairs.iter().find_map(|pair| {
            let (from, to) = self.of(*pair);
            let rest = name.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
        })
    }
}

impl Naming {
    fn of(mark: &str) -> Option<&'static Self> {
        [&OF_RWKV4, &OF_RWKV7].into_iter().find(|naming| naming.own == mark)
    }

    /// A name without its prefix; `None` for what is no tensor of such a model.
    fn translate(&self, name: &str, towards: Towards) -> Option<String> {
        if let Some(root) = towards.translate(name, self.roots) {
            return Some(root);
        }
        let (from, to) = towards.of(("blocks", self.blocks));
        let (index, rest) = name.strip_prefix(from)?.strip_prefix('.')?.split_once('.')?;
        let (part, field) = rest.split_once('.')?;
        let pair = self.parts.iter().find(|pair| towards.of(**pair).0 == part)?;
        let own = match pair.0 {
            "att" => self.att,
            "ffn" => self.ffn,
            _ => &[],
        };
        let field = towards.translate(field, own).unwrap_or_else(|| field.to_owned());
        Some(format!("{to}.{index}.{}.{field}", towards.of(*pair).1))
    }
}

/// Their name, and the layout, for a tensor of the authors, in a model of this [`super::mark`].
pub(in crate::weights) fn name(authors: &str, layout: Layout, mark: &str) -> Option<(String, Layout)> {
    let naming = Naming::of(mark)?;
    let name = naming.translate(authors, Towards::Theirs)?;
    let layout = match layout {
        Layout::Same if is_low_rank(&name) => Layout::Transposed,
        Layout::Row if mark == RWKV7 && !name.contains(".attn.x_") => Layout::Same,
        layout => layout,
    };
    let prefix = if authors == HEAD { "" } else { naming.prefix };
    Some((format!("{prefix}{name}"), layout))
}

/// Gives tensors under these names those of the authors; all others stay as they are.
pub(in crate::weights) fn rename(tensors: Tensors) -> Tensors {
    let Some(naming) = [&OF_RWKV4, &OF_RWKV7].into_iter().find(|naming| tensors.contains_key(naming.mark)) else {
        return tensors;
    };
    let mut renamed = Tensors::new();
    for (name, tensor) in tensors {
        match naming.translate(&name, Towards::Authors) {
            Some(authors) if authors.ends_with(".x_x") => renamed.extend(apart(&authors, tensor)),
            Some(authors) if is_low_rank(&name) => drop(renamed.insert(authors, transposed(tensor))),
            Some(authors) => drop(renamed.insert(authors, tensor)),
            None => drop(renamed.insert(name, tensor)),
        }
    }
    renamed
}

fn is_low_rank(name: &str) -> bool {
    name.contains("_lora.lora.") && name.ends_with(".weight")
}

fn transposed(Foreign { mut shape, values }: Foreign) -> Foreign {
    let values = match shape[..] {
        [rows, columns] => values.map(|values| transpose(&values, rows, columns)),
        _ => values,
    };
    shape.reverse();
    Foreign { shape, values }
}

/// The six mixes of one tensor, `[6, .., d]`; as it is where its shape is another.
fn apart(name: &str, Foreign { shape, values }: Foreign) -> Vec<(String, Foreign)> {
    let (Some((&6, shape)), Ok(all), Some(place)) = (shape.split_first(), &values, name.strip_suffix("x_x")) else {
        return vec![(name.to_owned(), Foreign { shape, values })];
    };
    let parts = MIXES.iter().zip(all.chunks_exact(all.len() / MIXES.len()));
    let part = |values: &[f32]| Foreign { shape: shape.to_vec(), values: Ok(values.to_vec()) };
    parts.map(|(mix, values)| (format!("{place}{mix}"), part(values))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the two converters print them: the authors' names, and those there.
    const OF_4: [(&str, &str); 17] = [
        ("emb.weight", "rwkv.embeddings.weight"),
        ("blocks.0.ln0.bias", "rwkv.blocks.0.pre_ln.bias"),
        ("blocks.3.ln1.weight", "rwkv.blocks.3.ln1.weight"),
        ("blocks.3.ln2.bias", "rwkv.blocks.3.ln2.bias"),
        ("blocks.11.att.time_decay", "rwkv.blocks.11.attention.time_decay"),
        ("blocks.11.att.time_first", "rwkv.blocks.11.attention.time_first"),
        ("blocks.11.att.time_mix_k", "rwkv.blocks.11.attention.time_mix_key"),
        ("blocks.11.att.time_mix_v", "rwkv.blocks.11.attention.time_mix_value"),
        ("blocks.11.att.time_mix_r", "rwkv.blocks.11.attention.time_mix_receptance"),
        ("blocks.11.att.receptance.weight", "rwkv.blocks.11.attention.receptance.weight"),
        ("blocks.11.att.output.weight", "rwkv.blocks.11.attention.output.weight"),
        ("blocks.3.ffn.time_mix_k", "rwkv.blocks.3.feed_forward.time_mix_key"),
        ("blocks.3.ffn.time_mix_r", "rwkv.blocks.3.feed_forward.time_mix_receptance"),
        ("blocks.3.ffn.key.weight", "rwkv.blocks.3.feed_forward.key.weight"),
        ("blocks.3.ffn.value.weight", "rwkv.blocks.3.feed_forward.value.weight"),
        ("ln_out.weight", "rwkv.ln_out.weight"),
        ("head.weight", "head.weight"),
    ];
    const OF_7: [(&str, &str); 28] = [
        ("emb.weight", "model.embeddings.weight"),
        ("blocks.0.ln0.weight", "model.layers.0.pre_norm.weight"),
        ("blocks.1.ln1.weight", "model.layers.1.attn_norm.weight"),
        ("blocks.1.ln2.bias", "model.layers.1.ffn_norm.bias"),
        ("blocks.10.att.x_r", "model.layers.10.attn.x_r"),
        ("blocks.10.att.r_k", "model.layers.10.attn.r_k"),
        ("blocks.10.att.k_k", "model.layers.10.attn.k_k"),
        ("blocks.10.att.k_a", "model.layers.10.attn.k_a"),
        ("blocks.10.att.receptance.weight", "model.layers.10.attn.r_proj.weight"),
        ("blocks.10.att.key.weight", "model.layers.10.attn.k_proj.weight"),
        ("blocks.10.att.value.weight", "model.layers.10.attn.v_proj.weight"),
        ("blocks.10.att.output.weight", "model.layers.10.attn.o_proj.weight"),
        ("blocks.10.att.ln_x.weight", "model.layers.10.attn.g_norm.weight"),
        ("blocks.10.att.w0", "model.layers.10.attn.w_lora.lora.2.bias"),
        ("blocks.10.att.w1", "model.layers.10.attn.w_lora.lora.0.weight"),
        ("blocks.10.att.w2", "model.layers.10.attn.w_lora.lora.2.weight"),
        ("blocks.10.att.a0", "model.layers.10.attn.a_lora.lora.2.bias"),
        ("blocks.10.att.a1", "model.layers.10.attn.a_lora.lora.0.weight"),
        ("blocks.10.att.a2", "model.layers.10.attn.a_lora.lora.2.weight"),
        ("blocks.10.att.v0", "model.layers.10.attn.v_lora.lora.2.bias"),
        ("blocks.10.att.v1", "model.layers.10.attn.v_lora.lora.0.weight"),
        ("blocks.10.att.v2", "model.layers.10.attn.v_lora.lora.2.weight"),
        ("blocks.10.att.g1", "model.layers.10.attn.g_lora.lora.0.weight"),
        ("blocks.10.att.g2", "model.layers.10.attn.g_lora.lora.2.weight"),
        ("blocks.1.ffn.x_k", "model.layers.1.ffn.x_k"),
        ("blocks.1.ffn.key.weight", "model.layers.1.ffn.key.weight"),
        ("ln_out.bias", "model.norm.bias"),
        ("head.weight", "lm_head.weight"),
    ];

    #[test]
    fn names_are_those_of_the_converters_both_ways() {
        let marked = |mark| move |(authors, theirs)| (mark, authors, theirs);
        let all = OF_4.into_iter().map(marked(RWKV4)).chain(OF_7.into_iter().map(marked(RWKV7)));
        for (mark, authors, theirs) in all {
            assert_eq!(name(authors, Layout::Same, mark).unwrap().0, theirs);
            let naming = Naming::of(mark).unwrap();
            let bare = theirs.strip_prefix(naming.prefix).unwrap_or(theirs);
            assert_eq!(naming.translate(bare, Towards::Authors).as_deref(), Some(authors), "{theirs}");
        }
        assert_eq!(OF_RWKV7.translate("layers.0.mlp.key.weight", Towards::Authors), None);
        assert_eq!(OF_RWKV7.translate("normal.weight", Towards::Authors), None);
    }

    #[test]
    fn of_rwkv7_only_mixes_are_rows() {
        let layout = |authors, mark| name(authors, Layout::Row, mark).unwrap().1;
        assert_eq!(layout("blocks.1.att.k_k", RWKV7), Layout::Same);
        assert_eq!(layout("blocks.1.att.x_k", RWKV7), Layout::Row);
        assert_eq!(layout("blocks.1.att.time_mix_k", RWKV4), Layout::Row);
        assert_eq!(name("blocks.1.att.g2", Layout::Same, RWKV7).unwrap().1, Layout::Transposed);
    }

    #[test]
    fn low_rank_factors_are_turned_and_mixes_taken_apart() {
        let tensor = |shape: &[usize]| {
            let values = (0..shape.iter().product()).map(|x: usize| x as f32).collect();
            Foreign { shape: shape.to_vec(), values: Ok(values) }
        };
        let there = [
            ("layers.0.attn.r_k", tensor(&[2, 1])),
            ("layers.0.attn.a_lora.lora.0.weight", tensor(&[3, 2])),
            ("layers.0.attn.x_x", tensor(&[6, 2])),
            ("layers.0.mlp.x", tensor(&[1])),
        ];
        let ours = rename(there.map(|(name, tensor)| (name.to_owned(), tensor)).into_iter().collect());
        let of = |name: &str| (ours[name].shape.clone(), ours[name].values.clone().unwrap());
        assert_eq!(of("blocks.0.att.a1"), (vec![2, 3], vec![0.0, 2.0, 4.0, 1.0, 3.0, 5.0]));
        for (mix, first) in ["x_r", "x_w", "x_k", "x_v", "x_a", "x_g"].into_iter().zip([0.0, 2.0, 4.0, 6.0, 8.0, 10.0])
        {
            assert_eq!(of(&format!("blocks.0.att.{mix}")), (vec![2], vec![first, first + 1.0]));
        }
        assert!(ours.contains_key("layers.0.mlp.x") && ours.len() == 9);
    }
}
