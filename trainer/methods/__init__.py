"""The training methods: the GAN that all share, CycleGAN, and distillation."""
