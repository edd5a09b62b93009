//! Whom a node may not hear while a drill holds something apart.

use guitai_net::Apart;
use guitai_types::{Member, dr::Cut};

/// What `me` drops for a cut. Every node drops its own share, so that it does not matter which of two
/// ends learns of the drill first.
pub fn apart(cut: &Cut, me: &Member, members: &[Member]) -> Apart {
    let mut apart = Apart::default();
    for other in members.iter().filter(|other| other.id != me.id) {
        let (out, back) = match cut {
            Cut::Node { node } => {
                let cut = &me.name == node || &other.name == node;
                (cut, cut)
            }
            Cut::Centre { centre } => {
                let cut = (&me.centre == centre) != (&other.centre == centre);
                (cut, cut)
            }
            Cut::Link { from, to, one_way } => {
                let forth = &me.centre == from && &other.centre == to;
                let back = &me.centre == to && &other.centre == from;
                (forth || (back && !one_way), back || (forth && !one_way))
            }
        };
        if out {
            apart.mute_to.insert(other.mesh);
        }
        if back {
            apart.deaf_to.insert(other.mesh);
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::members;

    fn order(cut: &Cut, me: usize) -> (usize, usize) {
        let members = members();
        let apart = apart(cut, &members[me], &members);
        (apart.mute_to.len(), apart.deaf_to.len())
    }

    #[test]
    fn both_sides_of_a_cut_drop_their_share() {
        // a1-1, a1-2, a2-1, a2-2, b-1, b-2
        let node = Cut::Node {
            node: "a1-1".parse().unwrap(),
        };
        assert_eq!(order(&node, 0), (5, 5));
        assert_eq!(order(&node, 4), (1, 1));
        let centre = Cut::Centre {
            centre: "a1".parse().unwrap(),
        };
        assert_eq!(order(&centre, 0), (4, 4), "its own centre is still heard");
        assert_eq!(order(&centre, 5), (2, 2));
        let link = |one_way| Cut::Link {
            from: "a1".parse().unwrap(),
            to: "a2".parse().unwrap(),
            one_way,
        };
        assert_eq!(order(&link(false), 0), (2, 2));
        assert_eq!(order(&link(false), 4), (0, 0), "b hears everybody");
        assert_eq!(order(&link(true), 0), (2, 0), "what a1 sends is lost");
        assert_eq!(order(&link(true), 2), (0, 2), "and a2 does not hear it");
    }
}
