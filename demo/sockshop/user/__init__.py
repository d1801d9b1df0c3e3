"""The user service: who the customers are, where they live, how they pay."""
