//! Real processes: start, kill, cut, garble.
