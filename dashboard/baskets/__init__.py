"""What becomes of a basket: its panels found and drawn, captions, methods paragraph, files. No Streamlit here."""
