struct pt_regs { unsigned long unused; };
