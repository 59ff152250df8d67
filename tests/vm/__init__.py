"""Real kernels, older than the one at hand, in an emulator.

A *kernel* is an image and, where its drivers are modules, the tree they lie in; Debian's are downloaded and unpacked,
never installed (``debian``). A *guest* is that kernel with a tiny *initramfs* that mounts this machine's own root,
read only, and runs the *suite* in it: the commands of the file ``guest-suite`` (``guest/init``, ``guest/suite.py``).
The guest *reports* each command as it starts and ends (``report``); ``machine`` starts the emulator and reads them.

``python -m tests.vm`` runs it, ``make test-vm`` calls that; see ``docs/compatibility.md``.
"""
