"""What the kernel holds for rules, out of what it holds for itself."""

from __future__ import annotations

import pytest

from bench.peers.control import grown
from bench.processes import netfilter_areas

VMALLOCINFO = """\
0x000000003a96fbdb-0x00000000cf154b38   20480 irq_init_percpu_irqstack+0xca/0x100 vmap
0x00000000cf154b38-0x00000000e141a5c7 4198400 xt_alloc_table_info+0x38/0x60 [x_tables] pages=1024 vmalloc N0=1024
0x000000006389f4f1-0x0000000004bf747e   69632 bucket_table_alloc.isra.0+0x8e/0x140 pages=16 vmalloc N0=16
0x000000006389f4f1-0x0000000004bf747e 12886016 htab_map_alloc+0x2c0/0x6a0 pages=3145 vmalloc vpages N0=3145
0x000000006389f4f1-0x0000000004bf747e    8192 nf_tables_commit+0x1d0/0x1b00 [nf_tables] pages=1 vmalloc N0=1
0x000000006389f4f1-0x0000000004bf747e   20480 unpurged vm_area
"""


def test_of_vmallocs_areas_those_of_rules_and_their_hash_tables_count() -> None:
    assert netfilter_areas(VMALLOCINFO) == 4198400 + 69632 + 8192


@pytest.mark.parametrize(
    ("before", "loaded", "after", "holds"),
    [
        pytest.param(100.0, 120.0, 100.0, 20.0, id="all of it is given back"),
        pytest.param(100.0, 110.0, 80.0, 20.0, id="something else goes meanwhile, at an even rate"),
        pytest.param(100.0, 120.0, 104.0, 18.0, id="some of it stays"),
    ],
)
def test_what_loading_holds_is_what_comes_and_goes_with_it(
    before: float, loaded: float, after: float, holds: float
) -> None:
    assert grown(before, loaded, after) == holds
