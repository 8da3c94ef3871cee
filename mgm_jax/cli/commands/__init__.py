"""What a user types behind ``mgm``: a file a command, or those of one kind."""
