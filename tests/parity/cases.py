"""The table of tiny Hugging Face checkpoints: one row each, the families' tricky fields switched on.

A row says which transformers class is built from which config fields, what it is fed, and where its answers are. `answers`
maps the task of one of our heads to the field of the reference's output; hidden states are compared whether named or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Feed = Literal["tokens", "choices", "cross", "seq2seq", "mirror", "speech", "pixels", "pair"]


@dataclass(frozen=True)
class Case:
    """feed: the kind of input. side: where the padded row has its padding; "inside" puts some in the middle too.
    marks: two global tokens per row. size: of the pictures fed, if not the config's. end: the id that ends each row's text.
    prefix: of the names in a file, which transformers 4 needs and 5 no longer writes. untied: the output matrix is one of
    its own, whatever the config class says (T5 v1.1). equal: two parameters with the same values, though not tied. fast:
    False moves the row out of the quick part of the suite."""

    name: str
    family: str
    model: str
    fields: dict[str, Any]
    answers: dict[str, str] = field(default_factory=lambda: {"lm": "logits"})
    feed: Feed = "tokens"
    side: Literal["right", "left", "inside"] = "right"
    length: int = 21
    marks: bool = False
    size: tuple[int, int] | None = None
    end: int | None = None
    prefix: str = ""
    untied: bool = False
    equal: tuple[str, str] | None = None
    attention: Literal["eager", "sdpa"] = "eager"
    fast: bool = True

    def __str__(self) -> str:
        return self.name


MLM, PAIR, CLASSIFY, TAG, CHOICE = ({task: "logits"} for task in ("mlm", "pair", "classify", "tag", "classify"))
SPAN, NONE, RTD, IMAGE = {"span": "start_logits end_logits"}, {}, {"rtd": "logits"}, {"classify": "logits"}
POOL = {"pool": "pooler_output"}

_TINY = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
         "max_position_embeddings": 64}  # fmt: skip
_LABELS = {"num_labels": 5, "pad_token_id": 0}

# ------------------------------------------------------------------------------------------------ encoders
_BERT = {**_TINY, "type_vocab_size": 3}
_ROBERTA = {**_TINY, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_ALBERT = {**_TINY, "embedding_size": 16, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2}
_DISTIL = {"vocab_size": 99, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64}
_ELECTRA = {**_TINY, "embedding_size": 16}
_MODERN = {**_TINY, "num_hidden_layers": 4, "local_attention": 8, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3,
           "cls_token_id": 2, "sep_token_id": 3}  # fmt: skip
_DEBERTA = {**_TINY, "relative_attention": True, "position_buckets": 8, "max_relative_positions": -1, "share_att_key": True,
            "norm_rel_ebd": "layer_norm", "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0}  # fmt: skip
_LONG = {**_TINY, "attention_window": [4, 8, 4], "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_BIRD = {**_TINY, "block_size": 4, "num_random_blocks": 2, "rescale_embeddings": True, "layer_norm_eps": 1e-12}

ENCODERS = [
    Case("bert_mlm", "bert", "BertForMaskedLM", _BERT, MLM),
    Case("bert_pretraining", "bert", "BertForPreTraining", _BERT, {"mlm": "prediction_logits", "pair": "seq_relationship_logits"}),
    Case("bert_classify", "bert", "BertForSequenceClassification", {**_BERT, "num_labels": 5}, CLASSIFY),
    Case("bert_tag", "bert", "BertForTokenClassification", {**_BERT, "num_labels": 5}, TAG),
    Case("bert_span", "bert", "BertForQuestionAnswering", _BERT, SPAN),
    Case("bert_pair", "bert", "BertForNextSentencePrediction", _BERT, PAIR),
    Case("bert_choice", "bert", "BertForMultipleChoice", _BERT, CHOICE, "choices", fast=False),
    Case("bert_base", "bert", "BertModel", {**_BERT, "hidden_act": "gelu_new"}, POOL),
    Case("bert_decoder", "bert", "BertLMHeadModel", {**_BERT, "is_decoder": True}, fast=False),
    Case("bert_cross", "bert", "BertLMHeadModel", {**_BERT, "is_decoder": True, "add_cross_attention": True}, feed="cross"),
    Case("roberta_decoder", "roberta", "RobertaForCausalLM", {**_ROBERTA, "is_decoder": True, "add_cross_attention": True}, feed="cross", fast=False),
    Case("roberta_tag", "roberta", "RobertaForTokenClassification", {**_ROBERTA, "num_labels": 5}, TAG, fast=False),
    Case("roberta_choice", "roberta", "RobertaForMultipleChoice", _ROBERTA, CHOICE, "choices", fast=False),
    Case("roberta_mlm", "roberta", "RobertaForMaskedLM", _ROBERTA, MLM, side="inside"),
    Case("roberta_classify", "roberta", "RobertaForSequenceClassification", {**_ROBERTA, "num_labels": 5}, CLASSIFY),
    Case("roberta_span", "roberta", "RobertaForQuestionAnswering", _ROBERTA, SPAN, fast=False),
    Case("roberta_base", "roberta", "RobertaModel", {**_ROBERTA, "type_vocab_size": 2, "layer_norm_eps": 1e-12}, POOL, fast=False),
    Case("xlm_roberta_mlm", "xlm-roberta", "XLMRobertaForMaskedLM", _ROBERTA, MLM),
    Case("xlm_roberta_tag", "xlm-roberta", "XLMRobertaForTokenClassification", {**_ROBERTA, "num_labels": 5}, TAG, fast=False),
    Case("xlm_roberta_classify", "xlm-roberta", "XLMRobertaForSequenceClassification", {**_ROBERTA, "num_labels": 5}, CLASSIFY, fast=False),
    Case("xlm_roberta_span", "xlm-roberta", "XLMRobertaForQuestionAnswering", _ROBERTA, SPAN, fast=False),
    Case("xlm_roberta_choice", "xlm-roberta", "XLMRobertaForMultipleChoice", _ROBERTA, CHOICE, "choices", fast=False),
    Case("xlm_roberta_decoder", "xlm-roberta", "XLMRobertaForCausalLM", {**_ROBERTA, "is_decoder": True}, fast=False),
    Case("xlm_roberta_base", "xlm-roberta", "XLMRobertaModel", _ROBERTA, POOL, fast=False),
    Case("camembert_tag", "camembert", "CamembertForTokenClassification", {**_ROBERTA, "num_labels": 5}, TAG, fast=False),
    Case("camembert_span", "camembert", "CamembertForQuestionAnswering", _ROBERTA, SPAN, fast=False),
    Case("camembert_choice", "camembert", "CamembertForMultipleChoice", _ROBERTA, CHOICE, "choices", fast=False),
    Case("camembert_decoder", "camembert", "CamembertForCausalLM", {**_ROBERTA, "is_decoder": True}, fast=False),
    Case("camembert_base", "camembert", "CamembertModel", _ROBERTA, POOL, fast=False),
    Case("camembert_mlm", "camembert", "CamembertForMaskedLM", _ROBERTA, MLM),
    Case("camembert_classify", "camembert", "CamembertForSequenceClassification", {**_ROBERTA, "num_labels": 5}, CLASSIFY, fast=False),
    Case("albert_mlm", "albert", "AlbertForMaskedLM", _ALBERT, MLM),
    Case("albert_pretraining", "albert", "AlbertForPreTraining", _ALBERT, {"mlm": "prediction_logits", "pair": "sop_logits"}),
    Case("albert_classify", "albert", "AlbertForSequenceClassification", {**_ALBERT, "num_labels": 5, "hidden_act": "gelu"}, CLASSIFY),
    Case("albert_span", "albert", "AlbertForQuestionAnswering", _ALBERT, SPAN, fast=False),
    Case("albert_tag", "albert", "AlbertForTokenClassification", {**_ALBERT, "num_labels": 5}, TAG, fast=False),
    Case("albert_choice", "albert", "AlbertForMultipleChoice", _ALBERT, CHOICE, "choices", fast=False),
    Case("albert_base", "albert", "AlbertModel", _ALBERT, POOL, fast=False),
    Case("distilbert_mlm", "distilbert", "DistilBertForMaskedLM", _DISTIL, MLM),
    Case("distilbert_classify", "distilbert", "DistilBertForSequenceClassification", {**_DISTIL, "num_labels": 5}, CLASSIFY),
    Case("distilbert_span", "distilbert", "DistilBertForQuestionAnswering", _DISTIL, SPAN, fast=False),
    Case("distilbert_tag", "distilbert", "DistilBertForTokenClassification", {**_DISTIL, "num_labels": 5}, TAG, fast=False),
    Case("distilbert_choice", "distilbert", "DistilBertForMultipleChoice", _DISTIL, CHOICE, "choices", fast=False),
    Case("distilbert_base", "distilbert", "DistilBertModel", _DISTIL, NONE, fast=False),
    Case("electra_generator", "electra", "ElectraForMaskedLM", _ELECTRA, MLM),
    Case("electra_discriminator", "electra", "ElectraForPreTraining", _ELECTRA, RTD),
    Case("electra_classify", "electra", "ElectraForSequenceClassification", {**_ELECTRA, "embedding_size": 32, "num_labels": 5}, CLASSIFY),
    Case("electra_span", "electra", "ElectraForQuestionAnswering", _ELECTRA, SPAN, fast=False),
    Case("electra_tag", "electra", "ElectraForTokenClassification", {**_ELECTRA, "num_labels": 5}, TAG, fast=False),
    Case("electra_choice", "electra", "ElectraForMultipleChoice", _ELECTRA, CHOICE, "choices", fast=False),
    Case("electra_decoder", "electra", "ElectraForCausalLM", {**_ELECTRA, "is_decoder": True, "add_cross_attention": True}, feed="cross", fast=False),
    Case("electra_base", "electra", "ElectraModel", _ELECTRA, NONE, fast=False),
    Case("modernbert_mlm", "modernbert", "ModernBertForMaskedLM", _MODERN, MLM),
    Case("modernbert_classify", "modernbert", "ModernBertForSequenceClassification",
         {**_MODERN, "num_labels": 5, "classifier_pooling": "mean"}, CLASSIFY),
    Case("modernbert_first", "modernbert", "ModernBertForSequenceClassification", {**_MODERN, "num_labels": 5}, CLASSIFY, fast=False),
    Case("modernbert_tag", "modernbert", "ModernBertForTokenClassification", {**_MODERN, "num_labels": 5}, TAG, fast=False),
    Case("modernbert_span", "modernbert", "ModernBertForQuestionAnswering", _MODERN, SPAN, fast=False),
    Case("modernbert_choice", "modernbert", "ModernBertForMultipleChoice", _MODERN, CHOICE, "choices", fast=False),
    Case("modernbert_base", "modernbert", "ModernBertModel", {**_MODERN, "num_hidden_layers": 7, "global_rope_theta": 1000.0,
         "local_rope_theta": 100.0, "attention_bias": True, "mlp_bias": True, "norm_bias": True}, NONE),
    Case("deberta_mlm", "deberta-v2", "DebertaV2ForMaskedLM", _DEBERTA, MLM),
    Case("deberta_narrow", "deberta-v2", "DebertaV2ForMaskedLM", {**_DEBERTA, "embedding_size": 16}, MLM),
    Case("deberta_infill", "deberta-v2", "DebertaV2ForMaskedLM", {**_DEBERTA, "legacy": False, "pos_att_type": "p2c|c2p", "position_biased_input": True,
         "type_vocab_size": 2, "position_buckets": -1, "max_relative_positions": 20, "norm_rel_ebd": "none"}, MLM, fast=False),
    Case("deberta_classify", "deberta-v2", "DebertaV2ForSequenceClassification", {**_DEBERTA, "num_labels": 5}, CLASSIFY),
    Case("deberta_tag", "deberta-v2", "DebertaV2ForTokenClassification", {**_DEBERTA, "num_labels": 5}, TAG, fast=False),
    Case("deberta_span", "deberta-v2", "DebertaV2ForQuestionAnswering", _DEBERTA, SPAN, fast=False),
    Case("deberta_choice", "deberta-v2", "DebertaV2ForMultipleChoice", _DEBERTA, CHOICE, "choices", fast=False),
    Case("deberta_base", "deberta-v2", "DebertaV2Model", _DEBERTA, NONE, fast=False),
    Case("longformer_mlm", "longformer", "LongformerForMaskedLM", _LONG, MLM, marks=True),
    Case("longformer_classify", "longformer", "LongformerForSequenceClassification", {**_LONG, "num_labels": 5}, CLASSIFY, marks=True),
    Case("longformer_span", "longformer", "LongformerForQuestionAnswering", _LONG, SPAN, marks=True, fast=False),
    Case("longformer_tag", "longformer", "LongformerForTokenClassification", {**_LONG, "num_labels": 5}, TAG, marks=True, fast=False),
    Case("longformer_base", "longformer", "LongformerModel", {**_LONG, "attention_window": 4}, POOL, marks=True, fast=False),
    Case("longformer_choice", "longformer", "LongformerForMultipleChoice", _LONG, CHOICE, "choices", marks=True, fast=False),
    Case("bigbird_45", "big_bird", "BigBirdForMaskedLM", _BIRD, MLM, length=45),
    Case("bigbird_48", "big_bird", "BigBirdForPreTraining", {**_BIRD, "use_bias": False},
         {"mlm": "prediction_logits", "pair": "seq_relationship_logits"}, length=48),
    Case("bigbird_short", "big_bird", "BigBirdForMaskedLM", _BIRD, MLM, length=21, fast=False),
    Case("bigbird_full", "big_bird", "BigBirdForMaskedLM", {**_BIRD, "attention_type": "original_full"}, MLM, length=45, fast=False),
    Case("bigbird_classify", "big_bird", "BigBirdForSequenceClassification", {**_BIRD, "num_labels": 5}, CLASSIFY, length=45, fast=False),
    Case("bigbird_span", "big_bird", "BigBirdForQuestionAnswering", {**_BIRD, "sep_token_id": 3}, SPAN, length=45, fast=False),
    Case("bigbird_choice", "big_bird", "BigBirdForMultipleChoice", {**_BIRD, "hidden_act": "gelu"}, CHOICE, "choices", length=45, fast=False),
    Case("bigbird_base", "big_bird", "BigBirdModel", {**_BIRD, "num_random_blocks": 1, "rescale_embeddings": False}, POOL, length=45, fast=False),
    Case("bigbird_decoder", "big_bird", "BigBirdForCausalLM", {**_BIRD, "is_decoder": True, "use_bias": False, "attention_type": "original_full"}, fast=False),
    Case("bigbird_tag", "big_bird", "BigBirdForTokenClassification", {**_BIRD, "num_labels": 5}, TAG, length=45, fast=False),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ decoders
_GPT2 = {"vocab_size": 99, "n_positions": 64, "n_embd": 32, "n_layer": 3, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
_NEOX = {**_TINY, "rotary_pct": 0.5, "rotary_emb_base": 1000.0}
_OPT = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "ffn_dim": 48, "max_position_embeddings": 64}
_BLOOM = {"vocab_size": 99, "hidden_size": 48, "n_layer": 3, "n_head": 6, "pad_token_id": 3}
_FALCON = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "num_kv_heads": 71, "ffn_hidden_size": 48,
           "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
_FALCON40 = {**_FALCON, "num_kv_heads": 2, "new_decoder_architecture": True, "rope_theta": 1000.0}
_FALCON_RW = {**_FALCON, "num_kv_heads": None, "hidden_size": 48, "num_attention_heads": 12, "alibi": True, "bias": True, "multi_query": False, "parallel_attn": False}
_LLAMA = {**_TINY, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2}
_QWEN = {**_LLAMA, "use_sliding_window": True, "sliding_window": 5, "rms_norm_eps": 1e-6}
_GEMMA = {**_TINY, "num_key_value_heads": 1, "head_dim": 16}
_GEMMA2 = {**_GEMMA, "num_key_value_heads": 2, "num_hidden_layers": 4, "sliding_window": 5, "query_pre_attn_scalar": 10,
           "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}  # fmt: skip
_GEMMA3 = {**_GEMMA, "num_key_value_heads": 2, "num_hidden_layers": 4, "sliding_window": 5, "sliding_window_pattern": 2,
           "query_pre_attn_scalar": 10, "rope_theta": 1000.0, "rope_local_base_freq": 100.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}  # fmt: skip
_PHI3 = {**_TINY, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "hidden_size": 48, "original_max_position_embeddings": 16, "partial_rotary_factor": 0.5,
         "sliding_window": 9, "pad_token_id": 0, "eos_token_id": 2, "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.1, 1.4],
         "long_factor": [1.5, 2.5, 6.0]}}  # fmt: skip
_OSS = {**_TINY, "num_key_value_heads": 2, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 5,
        "num_hidden_layers": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "rope_theta": 1000.0, "rope_scaling": {"rope_type": "yarn",
        "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 16}}  # fmt: skip
_DEEP = {**_TINY, "num_key_value_heads": 4, "kv_lora_rank": 24, "q_lora_rank": None, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
         "v_head_dim": 12, "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 3, "moe_intermediate_size": 20,
         "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2, "rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
         "rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 0.7, "mscale_all_dim": 0.9,
         "original_max_position_embeddings": 16}}  # fmt: skip
_DEEP2 = {**_DEEP, "topk_method": "group_limited_greedy", "routed_scaling_factor": 1.7}
_DEEP3 = {**_DEEP, "q_lora_rank": 20, "routed_scaling_factor": 2.5, "norm_topk_prob": True}
_LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}

DECODERS = [
    Case("gpt2_lm", "gpt2", "GPT2LMHeadModel", {**_GPT2, "scale_attn_by_inverse_layer_idx": True}),
    Case("gpt2_classify", "gpt2", "GPT2ForSequenceClassification", {**_GPT2, **_LABELS, "n_inner": 40}, CLASSIFY),
    Case("gpt2_tag", "gpt2", "GPT2ForTokenClassification", {**_GPT2, **_LABELS}, TAG, fast=False),
    Case("gpt2_span", "gpt2", "GPT2ForQuestionAnswering", _GPT2, SPAN, fast=False),
    Case("gpt2_cross", "gpt2", "GPT2LMHeadModel", {**_GPT2, "add_cross_attention": True}, feed="cross"),
    Case("gpt2_unscaled", "gpt2", "GPT2LMHeadModel", {**_GPT2, "scale_attn_weights": False, "activation_function": "relu"}, fast=False),
    Case("gpt2_base", "gpt2", "GPT2Model", _GPT2, NONE, fast=False),
    Case("neox_parallel", "gpt_neox", "GPTNeoXForCausalLM", {**_NEOX, "hidden_act": "gelu_fast"}),
    Case("neox_sequential", "gpt_neox", "GPTNeoXForCausalLM", {**_NEOX, "rotary_pct": 1.0, "use_parallel_residual": False}),
    Case("neox_classify", "gpt_neox", "GPTNeoXForSequenceClassification", {**_NEOX, **_LABELS}, CLASSIFY, fast=False),
    Case("neox_tag", "gpt_neox", "GPTNeoXForTokenClassification", {**_NEOX, **_LABELS}, TAG, fast=False),
    Case("neox_span", "gpt_neox", "GPTNeoXForQuestionAnswering", _NEOX, SPAN, fast=False),
    Case("neox_plain", "gpt_neox", "GPTNeoXForCausalLM", {**_NEOX, "attention_bias": False, "tie_word_embeddings": True}, fast=False),
    Case("opt_pre", "opt", "OPTForCausalLM", _OPT, side="left"),
    Case("opt_350m", "opt", "OPTForCausalLM", {**_OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 16}, side="left"),
    Case("opt_classify", "opt", "OPTForSequenceClassification", {**_OPT, "num_labels": 5}, CLASSIFY, side="left", fast=False),
    Case("opt_span", "opt", "OPTForQuestionAnswering", _OPT, SPAN, side="left", fast=False),
    Case("opt_plain", "opt", "OPTForCausalLM", {**_OPT, "enable_bias": False, "layer_norm_elementwise_affine": False}, side="left", fast=False),
    Case("bloom_lm", "bloom", "BloomForCausalLM", _BLOOM, side="left"),
    Case("bloom_classify", "bloom", "BloomForSequenceClassification", {**_BLOOM, "num_labels": 5, "n_head": 4}, CLASSIFY, side="left"),
    Case("bloom_tag", "bloom", "BloomForTokenClassification", {**_BLOOM, "num_labels": 5}, TAG, side="left", fast=False),
    Case("bloom_base", "bloom", "BloomModel", _BLOOM, NONE, side="left", fast=False),
    Case("falcon_7b", "falcon", "FalconForCausalLM", _FALCON, side="left"),
    Case("falcon_40b", "falcon", "FalconForCausalLM", _FALCON40, side="left"),
    Case("falcon_11b", "falcon", "FalconForCausalLM", {**_FALCON40, "num_ln_in_parallel_attn": 1}, side="left", fast=False),
    Case("falcon_40b_alibi", "falcon", "FalconForCausalLM", {**_FALCON40, "alibi": True}, side="left", attention="sdpa"),
    Case("falcon_11b_alibi", "falcon", "FalconForCausalLM", {**_FALCON40, "num_ln_in_parallel_attn": 1, "alibi": True}, side="left", attention="sdpa", fast=False),
    Case("falcon_rw", "falcon", "FalconForCausalLM", _FALCON_RW, side="left", attention="sdpa"),
    Case("falcon_classify", "falcon", "FalconForSequenceClassification", {**_FALCON, **_LABELS}, CLASSIFY, side="left", fast=False),
    Case("falcon_tag", "falcon", "FalconForTokenClassification", {**_FALCON, **_LABELS}, TAG, side="left", fast=False),
    Case("llama_2", "llama", "LlamaForCausalLM", {**_LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    Case("llama_1", "llama", "LlamaForCausalLM", {**_TINY, "rms_norm_eps": 1e-6}, fast=False),
    Case("llama_3", "llama", "LlamaForCausalLM", {**_LLAMA, "rope_theta": 500000.0, "rope_scaling": _LLAMA3}),
    Case("llama_linear", "llama", "LlamaForCausalLM", {**_LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    Case("llama_dynamic", "llama", "LlamaForCausalLM",
         {**_LLAMA, "max_position_embeddings": 16, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}}),
    Case("llama_yarn", "llama", "LlamaForCausalLM", {**_LLAMA, "rope_scaling": _YARN}),
    Case("llama_classify", "llama", "LlamaForSequenceClassification", {**_LLAMA, **_LABELS}, CLASSIFY),
    Case("llama_tag", "llama", "LlamaForTokenClassification", {**_LLAMA, **_LABELS}, TAG, fast=False),
    Case("llama_span", "llama", "LlamaForQuestionAnswering", _LLAMA, SPAN, fast=False),
    Case("llama_base", "llama", "LlamaModel", _LLAMA, NONE, fast=False),
    Case("mistral_lm", "mistral", "MistralForCausalLM", {**_LLAMA, "sliding_window": 5}),
    Case("mistral_full", "mistral", "MistralForCausalLM", {**_LLAMA, "head_dim": None, "sliding_window": None}),
    Case("mistral_classify", "mistral", "MistralForSequenceClassification", {**_LLAMA, **_LABELS, "sliding_window": 5}, CLASSIFY, fast=False),
    Case("mixtral_lm", "mixtral", "MixtralForCausalLM", {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 6}),
    Case("mixtral_full", "mixtral", "MixtralForCausalLM", {**_LLAMA, "num_local_experts": 3, "num_experts_per_tok": 1, "rope_theta": 1e6}, fast=False),
    Case("qwen2_lm", "qwen2", "Qwen2ForCausalLM", {**_QWEN, "max_window_layers": 1, "tie_word_embeddings": True}),
    Case("qwen2_full", "qwen2", "Qwen2ForCausalLM", {**_QWEN, "use_sliding_window": False, "rope_theta": 1e6, "rope_scaling": _YARN}, fast=False),
    Case("qwen2_classify", "qwen2", "Qwen2ForSequenceClassification", {**_QWEN, **_LABELS, "max_window_layers": 2}, CLASSIFY, fast=False),
    Case("qwen3_lm", "qwen3", "Qwen3ForCausalLM", {**_QWEN, "max_window_layers": 2}),
    Case("qwen3_full", "qwen3", "Qwen3ForCausalLM", {**_QWEN, "use_sliding_window": False, "attention_bias": True, "tie_word_embeddings": True}, fast=False),
    Case("qwen3_moe", "qwen3_moe", "Qwen3MoeForCausalLM", {**_QWEN, "num_hidden_layers": 4, "num_experts": 4, "num_experts_per_tok": 2,
         "moe_intermediate_size": 20, "decoder_sparse_step": 2, "mlp_only_layers": [3], "norm_topk_prob": False}),
    Case("qwen3_moe_norm", "qwen3_moe", "Qwen3MoeForCausalLM", {**_QWEN, "use_sliding_window": False, "num_experts": 5,
         "num_experts_per_tok": 3, "moe_intermediate_size": 20, "norm_topk_prob": True}, fast=False),
    Case("gemma_lm", "gemma", "GemmaForCausalLM", _GEMMA),
    Case("gemma_gelu", "gemma", "GemmaForCausalLM", {**_GEMMA, "num_key_value_heads": 4, "hidden_act": "gelu_pytorch_tanh"}, fast=False),
    Case("gemma_classify", "gemma", "GemmaForSequenceClassification", {**_GEMMA, "num_labels": 5}, CLASSIFY, fast=False),
    Case("gemma2_lm", "gemma2", "Gemma2ForCausalLM", _GEMMA2),
    Case("gemma2_plain", "gemma2", "Gemma2ForCausalLM", {**_GEMMA2, "attn_logit_softcapping": None, "final_logit_softcapping": None,
         "attention_bias": True, "num_hidden_layers": 3}, fast=False),
    Case("gemma3_lm", "gemma3_text", "Gemma3ForCausalLM", _GEMMA3),
    Case("gemma3_default", "gemma3_text", "Gemma3ForCausalLM", {**_GEMMA3, "num_hidden_layers": 7, "sliding_window_pattern": 6,
         "rope_scaling": None, "rope_theta": 1e6, "rope_local_base_freq": 1e4}),
    Case("gemma3_both_ways", "gemma3_text", "Gemma3TextModel", {**_GEMMA3, "use_bidirectional_attention": True, "sliding_window": 8}, NONE),
    Case("gemma3_both_classify", "gemma3_text", "Gemma3TextForSequenceClassification", {**_GEMMA3, "use_bidirectional_attention": True, "num_labels": 5}, CLASSIFY,
         fast=False),
    Case("phi3_long", "phi3", "Phi3ForCausalLM", _PHI3),
    Case("phi3_plain", "phi3", "Phi3ForCausalLM", {**_PHI3, "rope_scaling": None, "partial_rotary_factor": 1.0, "sliding_window": None,
         "tie_word_embeddings": True}, fast=False),
    Case("phi3_short", "phi3", "Phi3ForCausalLM", _PHI3, length=15, fast=False),
    Case("olmo2_lm", "olmo2", "Olmo2ForCausalLM", {**_TINY, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "pad_token_id": 1, "eos_token_id": 2}),
    Case("olmo2_mha", "olmo2", "Olmo2ForCausalLM", {**_TINY, "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "attention_bias": True, "pad_token_id": 1, "eos_token_id": 2}, fast=False),
    Case("gpt_oss_lm", "gpt_oss", "GptOssForCausalLM", _OSS),
    Case("gpt_oss_full", "gpt_oss", "GptOssForCausalLM", {**_OSS, "rope_theta": 150000.0, "num_hidden_layers": 3, "num_experts_per_tok": 1, "rope_scaling":
         {**_OSS["rope_scaling"], "truncate": True}, "layer_types": ["full_attention", "full_attention", "sliding_attention"]}, fast=False),
    Case("deepseek_v2", "deepseek_v2", "DeepseekV2ForCausalLM", _DEEP2),
    Case("deepseek_v2_lite", "deepseek_v2", "DeepseekV2ForCausalLM", {**_DEEP2, "q_lora_rank": 20, "topk_method": "greedy",
         "rope_scaling": None, "routed_scaling_factor": 1.0}, fast=False),
    Case("deepseek_v3", "deepseek_v3", "DeepseekV3ForCausalLM", _DEEP3),
    Case("deepseek_v3_halves", "deepseek_v3", "DeepseekV3ForCausalLM", {**_DEEP3, "rope_interleave": False, "rope_scaling": None,
         "q_lora_rank": None, "attention_bias": True, "norm_topk_prob": False}, fast=False),
    Case("deepseek_v3_classify", "deepseek_v3", "DeepseekV3ForSequenceClassification", {**_DEEP3, **_LABELS}, CLASSIFY, fast=False),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ both stacks
_T5 = {"vocab_size": 99, "d_model": 32, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
       "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "decoder_start_token_id": 0}  # fmt: skip
_T5V11 = {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
_BART = {"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40, "max_position_embeddings": 64, "scale_embedding": True}  # fmt: skip
_MARIAN = {**_BART, "activation_function": "swish", "pad_token_id": 98, "decoder_start_token_id": 98}
_FSMT = {**{k: v for k, v in _BART.items() if k != "vocab_size"}, "src_vocab_size": 99, "tgt_vocab_size": 90, "langs": ["en", "de"]}
_LED = {**{k: v for k, v in _BART.items() if k not in ("max_position_embeddings", "scale_embedding")}, "attention_window": [4, 8],
        "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 48}  # fmt: skip
_WHISPER = {**{k: v for k, v in _BART.items() if k != "max_position_embeddings"}, "num_mel_bins": 8, "max_source_positions": 20,
            "max_target_positions": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3,
            "begin_suppress_tokens": None}  # fmt: skip

SEQ2SEQS = [
    Case("t5_lm", "t5", "T5ForConditionalGeneration", _T5, feed="seq2seq"),
    Case("t5_v1_1", "t5", "T5ForConditionalGeneration", _T5V11, feed="seq2seq", untied=True),
    Case("t5_encoder", "t5", "T5EncoderModel", _T5, NONE, fast=False),
    Case("t5_tag", "t5", "T5ForTokenClassification", {**_T5V11, "num_labels": 5}, TAG, fast=False),
    Case("t5_classify", "t5", "T5ForSequenceClassification", {**_T5, "num_labels": 5}, CLASSIFY, "mirror", end=1, fast=False),
    Case("t5_base", "t5", "T5Model", {**_T5, "feed_forward_proj": "gated-silu"}, NONE, "seq2seq", fast=False),
    Case("mt5_lm", "mt5", "MT5ForConditionalGeneration", _T5V11, feed="seq2seq", untied=True),
    Case("mt5_encoder", "mt5", "MT5EncoderModel", _T5V11, NONE, fast=False),
    Case("mt5_tag", "mt5", "MT5ForTokenClassification", {**_T5V11, "num_labels": 5}, TAG, fast=False),
    Case("bart_lm", "bart", "BartForConditionalGeneration", _BART, feed="seq2seq"),
    Case("bart_classify", "bart", "BartForSequenceClassification", {**_BART, "num_labels": 5, "scale_embedding": False}, CLASSIFY, "mirror", end=2),
    Case("bart_base", "bart", "BartModel", _BART, NONE, "seq2seq", fast=False),
    Case("bart_untied", "bart", "BartForConditionalGeneration", {**_BART, "tie_word_embeddings": False}, feed="seq2seq",
         equal=("model.encoder.embed_tokens.weight", "model.shared.weight")),
    Case("bart_untied_base", "bart", "BartModel", {**_BART, "tie_word_embeddings": False}, NONE, "seq2seq", equal=("encoder.embed_tokens.weight", "shared.weight"), fast=False),
    Case("marian_untied", "marian", "MarianMTModel", {**_MARIAN, "tie_word_embeddings": False}, feed="seq2seq",
         equal=("model.encoder.embed_tokens.weight", "model.shared.weight")),
    Case("marian_untied_tables", "marian", "MarianMTModel", {**_MARIAN, "share_encoder_decoder_embeddings": False, "tie_word_embeddings": False}, feed="seq2seq", fast=False),
    Case("led_untied", "led", "LEDForConditionalGeneration", {**_LED, "tie_word_embeddings": False}, feed="seq2seq", marks=True,
         equal=("led.encoder.embed_tokens.weight", "led.shared.weight"), fast=False),
    Case("marian_mt", "marian", "MarianMTModel", _MARIAN, feed="seq2seq"),
    Case("marian_two_vocabularies", "marian", "MarianMTModel", {**_MARIAN, "decoder_vocab_size": 90, "pad_token_id": 89,
         "decoder_start_token_id": 89, "share_encoder_decoder_embeddings": False, "activation_function": "relu"}, feed="seq2seq", fast=False),
    Case("marian_two_tables", "marian", "MarianMTModel", {**_MARIAN, "share_encoder_decoder_embeddings": False}, feed="seq2seq", fast=False),
    Case("fsmt_mt", "fsmt", "FSMTForConditionalGeneration", _FSMT, feed="seq2seq"),
    Case("fsmt_unscaled", "fsmt", "FSMTForConditionalGeneration", {**_FSMT, "scale_embedding": False, "tgt_vocab_size": 99,
         "activation_function": "gelu"}, feed="seq2seq", equal=("model.decoder.embed_tokens.weight", "model.decoder.output_projection.weight")),
    Case("led_lm", "led", "LEDForConditionalGeneration", _LED, feed="seq2seq", marks=True),
    Case("led_span", "led", "LEDForQuestionAnswering", _LED, SPAN, feed="seq2seq", marks=True, fast=False),
    Case("led_one_window", "led", "LEDForConditionalGeneration", {**_LED, "attention_window": 6, "encoder_layers": 3}, feed="seq2seq", marks=True, fast=False),
    Case("whisper_lm", "whisper", "WhisperForConditionalGeneration", _WHISPER, feed="speech"),
    Case("whisper_base", "whisper", "WhisperModel", {**_WHISPER, "encoder_layers": 3, "decoder_layers": 2, "scale_embedding": False}, NONE, "speech", fast=False),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ pictures
_VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 12, "patch_size": 4}
_DINO = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "mlp_ratio": 3, "image_size": 12, "patch_size": 4}
_CLIP_TEXT = {**_TINY, "projection_dim": 20, "bos_token_id": 1, "pad_token_id": 0, "eos_token_id": 97}
_CLIP_VISION = {**_VIT, "projection_dim": 20}

PICTURES = [
    Case("vit_classify", "vit", "ViTForImageClassification", {**_VIT, "qkv_bias": False, "num_labels": 5}, IMAGE, "pixels"),
    Case("vit_base", "vit", "ViTModel", {**_VIT, "num_channels": 1, "hidden_act": "gelu_new"}, POOL, "pixels", fast=False),
    Case("dinov2_classify", "dinov2", "Dinov2ForImageClassification", {**_DINO, "num_labels": 5}, IMAGE, "pixels"),
    Case("dinov2_giant", "dinov2", "Dinov2ForImageClassification", {**_DINO, "use_swiglu_ffn": True, "num_labels": 5}, IMAGE, "pixels"),
    Case("dinov2_other_size", "dinov2", "Dinov2Model", _DINO, NONE, "pixels", size=(20, 16)),
    Case("clip_text", "clip_text_model", "CLIPTextModelWithProjection", _CLIP_TEXT, {"embed": "text_embeds"}, end=97),
    Case("clip_text_legacy", "clip_text_model", "CLIPTextModelWithProjection", {**_CLIP_TEXT, "eos_token_id": 2}, {"embed": "text_embeds"}, end=98),
    Case("clip_vision", "clip_vision_model", "CLIPVisionModelWithProjection", _CLIP_VISION, {"embed": "image_embeds"}, "pixels"),
    Case("clip_vision_gelu", "clip_vision_model", "CLIPVisionModelWithProjection", {**_CLIP_VISION, "hidden_act": "gelu", "num_channels": 1},
         {"embed": "image_embeds"}, "pixels", fast=False),
    Case("clip_text_base", "clip_text_model", "CLIPTextModel", _CLIP_TEXT, POOL, end=97, prefix="text_model."),
    Case("clip_vision_base", "clip_vision_model", "CLIPVisionModel", _CLIP_VISION, POOL, "pixels", prefix="vision_model."),
    Case("clip_classify", "clip_classifier", "CLIPForImageClassification", {"text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION, "num_labels": 5}, IMAGE, "pixels"),
    Case("dinov2_bare", "dinov2", "Dinov2Model", {**_DINO, "use_swiglu_ffn": True, "layerscale_value": 0.1}, NONE, "pixels", fast=False),
    Case("clip_pair", "clip", "CLIPModel", {"text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION, "projection_dim": 20},
         {"pair": "logits_per_text"}, "pair", end=97),
    Case("clip_pair_gelu", "clip", "CLIPModel", {"text_config": {**_CLIP_TEXT, "hidden_act": "gelu", "eos_token_id": 2},
         "vision_config": {**_CLIP_VISION, "hidden_act": "gelu"}, "projection_dim": 20}, {"pair": "logits_per_text"}, "pair", end=98, fast=False),
]  # fmt: skip

BY_NAME = {case.name: case for case in (*ENCODERS, *DECODERS, *SEQ2SEQS, *PICTURES)}


# ------------------------------------------------------------------------------------------------ the other heads


def _others(name: str, *heads: tuple[str, dict[str, str]]) -> list[Case]:
    """The checkpoint of a row again, as another class of its family."""
    case, suffix = BY_NAME[name], {"classify": "classify", "tag": "tag", "span": "span", "pool": "base", "": "base"}
    labels = {"num_labels": 5, **({} if "pad_token_id" in case.fields or case in ENCODERS else {"pad_token_id": 0})}
    stem = case.family.replace("-", "_").removesuffix("_text")
    return [
        replace(case, name=f"{stem}_{suffix[next(iter(answers), '')]}", model=model, answers=answers, fast=False,
                fields={**case.fields, **(labels if answers in (CLASSIFY, TAG) else {})})
        for model, answers in heads
    ]


OTHERS = [
    *_others("neox_parallel", ("GPTNeoXModel", NONE)),
    *_others("opt_pre", ("OPTModel", NONE)),
    *_others("bloom_lm", ("BloomForQuestionAnswering", SPAN)),
    *_others("falcon_40b", ("FalconModel", NONE), ("FalconForQuestionAnswering", SPAN)),
    *_others("mistral_lm", ("MistralModel", NONE), ("MistralForTokenClassification", TAG), ("MistralForQuestionAnswering", SPAN)),
    *_others("mixtral_lm", ("MixtralModel", NONE), ("MixtralForSequenceClassification", CLASSIFY), ("MixtralForTokenClassification", TAG),
             ("MixtralForQuestionAnswering", SPAN)),
    *_others("qwen2_lm", ("Qwen2Model", NONE), ("Qwen2ForTokenClassification", TAG), ("Qwen2ForQuestionAnswering", SPAN)),
    *_others("qwen3_lm", ("Qwen3Model", NONE), ("Qwen3ForSequenceClassification", CLASSIFY), ("Qwen3ForTokenClassification", TAG),
             ("Qwen3ForQuestionAnswering", SPAN)),
    *_others("qwen3_moe", ("Qwen3MoeModel", NONE), ("Qwen3MoeForSequenceClassification", CLASSIFY), ("Qwen3MoeForTokenClassification", TAG),
             ("Qwen3MoeForQuestionAnswering", SPAN)),
    *_others("gemma_lm", ("GemmaModel", NONE), ("GemmaForTokenClassification", TAG)),
    *_others("gemma2_lm", ("Gemma2Model", NONE), ("Gemma2ForSequenceClassification", CLASSIFY), ("Gemma2ForTokenClassification", TAG)),
    *_others("gemma3_lm", ("Gemma3TextForSequenceClassification", CLASSIFY)),
    *_others("phi3_long", ("Phi3Model", NONE), ("Phi3ForSequenceClassification", CLASSIFY), ("Phi3ForTokenClassification", TAG)),
    *_others("olmo2_lm", ("Olmo2Model", NONE), ("Olmo2ForSequenceClassification", CLASSIFY)),
    *_others("gpt_oss_lm", ("GptOssModel", NONE), ("GptOssForSequenceClassification", CLASSIFY), ("GptOssForTokenClassification", TAG)),
    *_others("deepseek_v2", ("DeepseekV2Model", NONE), ("DeepseekV2ForSequenceClassification", CLASSIFY)),
    *_others("deepseek_v3", ("DeepseekV3Model", NONE), ("DeepseekV3ForTokenClassification", TAG)),
    *_others("bart_classify", ("BartForQuestionAnswering", SPAN)),
    *_others("led_lm", ("LEDModel", NONE)),
    *_others("mt5_lm", ("MT5Model", NONE), ("MT5ForQuestionAnswering", SPAN)),
    replace(BY_NAME["t5_classify"], name="mt5_classify", family="mt5", model="MT5ForSequenceClassification"),
    replace(BY_NAME["t5_base"], name="t5_span", model="T5ForQuestionAnswering", answers=SPAN),
]  # fmt: skip

CASES = [*BY_NAME.values(), *OTHERS]
BY_NAME |= {case.name: case for case in OTHERS}
