"""The files of networks: one safetensors file each, in a folder or on the Hugging Face Hub."""
