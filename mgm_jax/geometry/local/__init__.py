"""What the neighbourhood of a point spans: its polytope, subspace and spectrum.

| file | what |
|---|---|
| ``pca`` | the public ``local_pca``; ``gram`` and ``spectrum`` are its work |
| ``polytope`` | diameter and radius |
| ``affinity`` | overlaps of subspaces from Gram matrices, and their chance level |
| ``subspaces`` | overlaps of all pairs of a small group; ``subspaces_on_cpu`` is its twin |
| ``polytopes_in_cloud`` | what of a large cloud is compared on a CPU |
| ``overlaps_in_cloud`` | overlaps of points of a large cloud, on a CPU |
| ``left_out`` | spectra of all members of a group but one |
"""
