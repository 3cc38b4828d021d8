//! The longest token that a text begins with.

/// No token: the one id that no token of a [`Trie`] has.
const NONE: u32 = 0;

/// A trie over bytes. Nodes and edges lie in order of their depth, the edges of a node by their byte.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    edges: Vec<(u8, u32)>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Node {
    /// The token that ends here; [`NONE`] where none does.
    token: u32,
    /// Its edges: the first, and how many.
    first: u32,
    count: u32,
}

impl Trie {
    pub(super) fn new(mut tokens: Vec<(&[u8], u32)>) -> Self {
        tokens.sort_unstable();
        // The tokens that begin as the way to a node does stand together.
        let mut ranges: Vec<_> = std::iter::once(0..tokens.len()).collect();
        let mut trie = Self { nodes: vec![Node::default()], edges: Vec::new() };
        let (mut level, mut depth) = (0..1, 0);
        while !level.is_empty() {
            for at in level.clone() {
                let mut range = ranges[at].clone();
                if tokens.get(range.start).is_some_and(|(token, _)| !range.is_empty() && token.len() == depth) {
                    trie.nodes[at].token = tokens[range.start].1;
                    range.start += 1;
                }
                trie.nodes[at].first = trie.edges.len() as u32;
                for group in tokens[range.clone()].chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                    trie.edges.push((group[0].0[depth], trie.nodes.len() as u32));
                    trie.nodes.push(Node::default());
                    ranges.push(range.start..range.start + group.len());
                    range.start += group.len();
                }
                trie.nodes[at].count = trie.edges.len() as u32 - trie.nodes[at].first;
            }
            level = level.end..trie.nodes.len();
            depth += 1;
        }
        trie
    }

    /// The longest token that `text` begins with, and its length.
    pub(super) fn longest(&self, text: &[u8]) -> Option<(u32, usize)> {
        let (mut node, mut found) = (self.nodes.first()?, None);
        for (at, byte) in text.iter().enumerate() {
            let edges = self.edges_of(*node);
            // Every byte has its edge at the root.
            let edge = match edges.len() {
                256 => usize::from(*byte),
                _ => match edges.binary_search_by_key(byte, |edge| edge.0) {
                    Ok(edge) => edge,
                    Err(_) => break,
                },
            };
            node = &self.nodes[edges[edge].1 as usize];
            if node.token != NONE {
                found = Some((node.token, at + 1));
            }
        }
        found
    }

    /// A regular expression that matches the longest token at a place, with `char_of` for each byte. Its size is that of the trie; a
    /// matcher that tries alternatives in their order needs time by the length of the token, as no two begin alike.
    pub(super) fn pattern(&self, char_of: &[char; 256]) -> String {
        enum Part {
            Node(u32),
            Edge(u8, u32),
            Text(&'static str),
        }
        let (mut pattern, mut rest) = (String::new(), vec![Part::Node(0)]);
        while let Some(part) = rest.pop() {
            match part {
                Part::Text(text) => pattern.push_str(text),
                Part::Edge(byte, node) => {
                    let char = char_of[usize::from(byte)];
                    pattern.extend(META.contains(char).then_some('\\').into_iter().chain([char]));
                    rest.push(Part::Node(node));
                }
                Part::Node(node) => {
                    let node = self.nodes[node as usize];
                    let edges = self.edges_of(node);
                    // What goes on may be left out where a token ends.
                    let end = if node.token == NONE { ")" } else { ")?" };
                    let grouped = edges.len() > 1 || edges.len() == 1 && node.token != NONE;
                    rest.extend(grouped.then_some(Part::Text(end)));
                    for (at, &(byte, node)) in edges.iter().enumerate().rev() {
                        rest.push(Part::Edge(byte, node));
                        rest.extend((at > 0).then_some(Part::Text("|")));
                    }
                    rest.extend(grouped.then_some(Part::Text("(?:")));
                }
            }
        }
        pattern
    }

    fn edges_of(&self, node: Node) -> &[(u8, u32)] {
        &self.edges[node.first as usize..(node.first + node.count) as usize]
    }
}

/// Characters that mean something in a regular expression, outside a class.
const META: &str = r"\.+*?()|[]{}^$";
