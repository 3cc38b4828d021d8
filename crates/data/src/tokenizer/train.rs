//! Byte-level BPE, trained here.

use percept_fault::{Fault, Result};
use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::DOCUMENT;
use super::text::TextTokenizer;

/// Every byte and the document token.
const SMALLEST: usize = 257;

/// As many as a model may have; the trainer makes room for all of them at once.
const LARGEST: usize = 1 << 24;

/// Trains on `texts`, read once; `vocab` counts the bytes and the document token, too.
pub(super) fn bpe<T>(texts: impl Iterator<Item = T> + Send, vocab: usize) -> Result<TextTokenizer>
where
    T: AsRef<str> + Send,
{
    if vocab < SMALLEST {
        return Err(Fault::usage(format!("a vocabulary of {vocab} tokens is too small"))
            .hint(format!("the 256 bytes and the document token need {SMALLEST}; 4096 is a good start")));
    }
    if vocab > LARGEST {
        return Err(Fault::usage(format!("a vocabulary of {vocab} tokens is too large"))
            .hint(format!("at most {LARGEST}; 4096 is a good start")));
    }
    let failed = |error| Fault::internal("the BPE tokenizer could not be trained").because(error);
    // No prefix blank: it would be a character that the text does not have.
    let byte_level = ByteLevel::new(false, false, true);
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level)).with_decoder(Some(byte_level));
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(vocab)
        .show_progress(false)
        .special_tokens(vec![AddedToken::from(DOCUMENT, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let mut read = 0_u64;
    let texts = texts.inspect(|text| read += text.as_ref().len() as u64);
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts).map_err(failed)?;
    if read == 0 {
        return Err(Fault::usage("no text to train the tokenizer on").hint("name a file or folder that holds text"));
    }
    TextTokenizer::new(tokenizer)
}
