//! DER as a tree that can be changed anywhere and written again: lengths are made anew, right ones.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// Tag and content.
    Leaf(u8, Vec<u8>),
    /// Tag and what is in it.
    Tree(u8, Vec<Self>),
}

impl Node {
    /// The value that begins there. What is parsed here is made here, so it is always whole.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut found = Self::all(bytes);
        assert_eq!(found.len(), 1, "one value");
        found.remove(0)
    }

    fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut found = vec![];
        while let [tag, length, rest @ ..] = bytes {
            let more = usize::from(length & 0x7f);
            let (length, rest) = match length & 0x80 {
                0 => (more, rest),
                _ => {
                    let number = rest[..more].iter();
                    let length = number.fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                    (length, &rest[more..])
                }
            };
            let (content, after) = rest.split_at(length);
            found.push(match tag & 0x20 {
                0 => Self::Leaf(*tag, content.to_vec()),
                _ => Self::Tree(*tag, Self::all(content)),
            });
            bytes = after;
        }
        found
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, content) = match self {
            Self::Leaf(tag, content) => (*tag, content.clone()),
            Self::Tree(tag, parts) => (*tag, parts.iter().flat_map(Self::encode).collect()),
        };
        let length = content.len();
        let head = match length {
            0..0x80 => vec![tag, length as u8],
            0x80..0x100 => vec![tag, 0x81, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [head, content].concat()
    }

    /// The parts of a tree.
    pub(crate) fn parts(&mut self) -> &mut Vec<Self> {
        match self {
            Self::Tree(_, parts) => parts,
            Self::Leaf(..) => panic!("a leaf has no parts"),
        }
    }

    /// The value at a place, by the number of the part on each level.
    pub(crate) fn at(&mut self, place: &[usize]) -> &mut Self {
        let mut node = self;
        for index in place {
            node = &mut node.parts()[*index];
        }
        node
    }

    /// The content of a leaf.
    pub(crate) fn content(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Leaf(_, content) => content,
            Self::Tree(..) => panic!("a tree is no leaf"),
        }
    }

    /// An object identifier, by the bytes of its content.
    pub(crate) fn oid(content: &[u8]) -> Self {
        Self::Leaf(6, content.to_vec())
    }

    /// The other tag around the same.
    pub(crate) fn tagged(&self, tag: u8) -> Self {
        match self {
            Self::Leaf(_, content) => Self::Leaf(tag, content.clone()),
            Self::Tree(_, parts) => Self::Tree(tag, parts.clone()),
        }
    }
}
