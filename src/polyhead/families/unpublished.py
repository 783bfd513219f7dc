"""Models whose architecture nobody has published: what is known of it, and what to take instead. A name begins as written here;
the longest beginning counts, dashes do not."""

UNPUBLISHED = {
    "gpt-3.5": ("no paper or report describes it", "take gpt3, the last of its line that is described"),
    "gpt-4": (
        "its technical report (arXiv 2303.08774, §2) gives no details about the architecture",
        "take gpt3, the last of its line that is described",
    ),
    "gpt-4o": (
        "its system card (arXiv 2410.21276) says what goes in and comes out, not what is between",
        "take gpt3, the last of its line that is described",
    ),
    "gpt-4.1": ("it was announced without a report", "take gpt3, the last of its line that is described"),
    "gpt-4.5": ("its system card is about what it does, not how it is built", "take gpt3, the last of its line that is described"),
    "gpt-5": ("its system card is about what it does, not how it is built", "take gpt3, the last of its line that is described"),
    "chatgpt": ("it is a service, and the models behind it are not described", "take gpt3, the last of its line that is described"),
    "o1": (
        "its system card (arXiv 2412.16720) is about what it does, not how it is built",
        "take gpt3, the last of its line that is described",
    ),
    "o3": ("its system card is about what it does, not how it is built", "take gpt3, the last of its line that is described"),
    "o4": ("its system card is about what it does, not how it is built", "take gpt3, the last of its line that is described"),
    "claude": ("its model cards are about what it does, not how it is built", "take llama-3-8b, a large model that is described"),
    "gemini": (
        "its reports (arXiv 2312.11805 §2, 2403.05530 §3) name a Transformer decoder, later with experts, and no sizes",
        "take llama-3-8b, a large model that is described",
    ),
    "palm-2": ("its report (arXiv 2305.10403) leaves size and architecture out", "take llama-3-8b, a large model that is described"),
    "grok-3": ("it was announced without a report", "take llama-3-8b, a large model that is described"),
    "grok-4": ("its model card is about what it does, not how it is built", "take llama-3-8b, a large model that is described"),
}
