//! One stream: the message words of a group of blocks are expanded while the rounds of the group
//! before run.

/// Writes `compress` for an `Expansion` with:
///
/// * `BLOCKS`, how many blocks make a group;
/// * `new(&[Block])`, which takes 1 to `BLOCKS` of them;
/// * `step(i, &mut [MaybeUninit<Words>; BLOCKS])`, which writes words 4·i to 4·i + 3 of W and W′ of
///   every block; after the steps 0 to 15, in this order, all words are written.
macro_rules! stream {
    ($features:literal, $Expansion:ident) => {
        /// Compresses the blocks into the state.
        #[target_feature(enable = $features)]
        fn compress(state: &mut State, blocks: &[Block]) {
            const BLOCKS: usize = $Expansion::BLOCKS;
            const {
                assert!(
                    16 % BLOCKS == 0,
                    "a group's steps spread evenly over its blocks"
                )
            }
            let mut groups = blocks.chunks(BLOCKS);
            let Some(mut group) = groups.next() else {
                return;
            };
            let mut buffers = [const { [const { MaybeUninit::<Words>::uninit() }; BLOCKS] }; 2];
            let [now, next] = &mut buffers;
            let (mut now, mut next) = (now, next);
            let mut expansion = $Expansion::new(group);
            for i in 0..16 {
                expansion.step(i, now);
            }
            for following in groups {
                let mut expansion = $Expansion::new(following);
                for (block, words) in now.iter().enumerate() {
                    // SAFETY: all sixteen steps have written into `now`.
                    #[expect(unsafe_code, reason = "buffers that need no zeros first")]
                    let words = unsafe { words.assume_init_ref() };
                    rounds(state, words, |i| {
                        if i % BLOCKS == BLOCKS - 1 {
                            expansion.step(16 / BLOCKS * block + i / BLOCKS, next);
                        }
                    });
                }
                std::mem::swap(&mut now, &mut next);
                group = following;
            }
            for words in &now[..group.len()] {
                // SAFETY: as above.
                #[expect(unsafe_code, reason = "buffers that need no zeros first")]
                let words = unsafe { words.assume_init_ref() };
                rounds(state, words, |_| ());
            }
        }
    };
}
pub(super) use stream;
