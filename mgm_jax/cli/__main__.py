"""``python -m mgm_jax.cli``: the commands; ``python -m mgm_jax`` is the program ``mgm`` itself."""

from mgm_jax.cli import main

if __name__ == "__main__":
    main()
