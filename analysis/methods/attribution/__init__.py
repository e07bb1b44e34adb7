"""Attribution: who is responsible for an answer, and how much of it is left unexplained."""
