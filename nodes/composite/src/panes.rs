//! Where the panes are in the picture. The bar above and the bar below belong to no pane.

use crate::{Layout, Size};

/// A rectangle in pixels; all four are even.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Place {
    /// Where a picture of this size goes: as large as it fits, not stretched, in the middle.
    pub(crate) fn fit(self, width: u32, height: u32) -> Self {
        let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
        let (wide, high) = (u64::from(self.width), u64::from(self.height));
        let (fit_width, fit_height) = if width * high >= height * wide {
            (wide, height * wide / width)
        } else {
            (width * high / height, high)
        };
        let even = |pixels: u64| u32::try_from(pixels).unwrap_or(0).max(2) / 2 * 2;
        let (width, height) = (even(fit_width), even(fit_height));
        let middle = |room: u32, used: u32| room.saturating_sub(used) / 4 * 2;
        Self {
            x: self.x + middle(self.width, width),
            y: self.y + middle(self.height, height),
            width,
            height,
        }
    }
}

/// Height of the bars.
pub(crate) const fn bar(size: Size) -> u32 {
    size.height / 30 * 2
}

/// Where the panes of so many parties go: agent, customer, and a third, which is the main one if it is there.
pub(crate) fn places(layout: Layout, size: Size, parties: usize) -> Vec<Place> {
    let even = |pixels: u32| pixels / 2 * 2;
    let (top, height) = (bar(size), size.height - 2 * bar(size));
    let place = |x: u32, y: u32, width: u32, height: u32| Place {
        x: even(x),
        y: even(top + y),
        width: even(width),
        height: even(height),
    };
    let width = size.width;
    match (parties, layout) {
        (3.., Layout::SideBySide) => {
            let (main, half) = (width * 2 / 3, height / 2);
            vec![
                place(main, 0, width - even(main), half),
                place(main, half, width - even(main), half),
                place(0, 0, main, height),
            ]
        }
        (3.., Layout::PictureInPicture) => {
            let (small, low) = (width / 4, height / 4);
            vec![
                place(width - small, height - 2 * low - 4, small, low),
                place(width - small, height - low, small, low),
                place(0, 0, width, height),
            ]
        }
        (_, Layout::SideBySide) => {
            let half = width / 2;
            vec![place(0, 0, half, height), place(half, 0, half, height)]
        }
        (_, Layout::PictureInPicture) => {
            let (small, low) = (width / 3, height / 3);
            vec![
                place(width - small, height - low, small, low),
                place(0, 0, width, height),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_are_even_and_inside() {
        for (width, height) in [
            (320, 180),
            (640, 360),
            (1280, 720),
            (1918, 1078),
            (350, 1080),
        ] {
            let size = Size::new(width, height).unwrap();
            for layout in [Layout::SideBySide, Layout::PictureInPicture] {
                for parties in 2..=3 {
                    let places = places(layout, size, parties);
                    assert_eq!(places.len(), parties);
                    let fitted = places.iter().map(|it| it.fit(640, 360));
                    for it in places.iter().copied().chain(fitted) {
                        let all = [it.x, it.y, it.width, it.height];
                        assert!(all.iter().all(|pixels| pixels % 2 == 0), "{it:?}");
                        assert!(it.width > 0 && it.height > 0);
                        assert!(it.x + it.width <= width, "{it:?} in {size}");
                        assert!(it.y >= bar(size));
                        assert!(it.y + it.height <= height - bar(size), "{it:?} in {size}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_keeps_its_shape() {
        let place = Place {
            x: 320,
            y: 24,
            width: 320,
            height: 312,
        };
        let wide = place.fit(640, 360);
        assert_eq!(
            (wide.width, wide.height, wide.x, wide.y),
            (320, 180, 320, 90)
        );
        let tall = place.fit(360, 640);
        assert_eq!((tall.width, tall.height), (174, 312));
    }
}
