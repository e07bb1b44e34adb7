"""What the Map and Features pages need to know about a store, without a word of Streamlit."""
