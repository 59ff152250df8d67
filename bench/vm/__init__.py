"""The peers once more in a virtual machine, whose kernel has what this machine's may lack: ip_vs, for kube-proxy's IPVS
mode. It is the machine of ``make test-vm``, and emulated: many times slower, so that ratios within it are what counts.

``host`` boots it and has ``guest`` run there, which prints its results on the console.
"""
