//! picchu: from a film to a character-consistent image model.
