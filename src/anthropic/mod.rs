//! The API as bytes. Pure: frames in, facts out; nothing is ever re-serialised.
