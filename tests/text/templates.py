"""Chat templates in the public formats of well-known models, written for these tests."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

LLAMA2 = """{% if messages[0]['role'] == 'system' %}
  {% set system_message = '<<SYS>>\\n' + messages[0]['content'] + '\\n<</SYS>>\\n\\n' %}
  {% set messages = messages[1:] %}
{% else %}
  {% set system_message = '' %}
{% endif %}
{% for message in messages %}
  {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
    {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
  {% endif %}
  {% if loop.index0 == 0 %}{% set content = system_message + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}
  {% if message['role'] == 'user' %}
    {{- bos_token + '[INST] ' + content | trim + ' [/INST]' -}}
  {% elif message['role'] == 'assistant' %}
    {{- ' ' + content | trim + ' ' + eos_token -}}
  {% endif %}
{% endfor %}"""

LLAMA3 = """{{- bos_token }}
{%- set ns = namespace(count=0) %}
{%- for message in messages %}
    {%- set ns.count = ns.count + 1 %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if tools %}{{- '\\n' ~ (tools | tojson(indent=2)) }}{%- endif %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""

MISTRAL = """{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}
{%- else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"""

GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
    {{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

MARKED = """{% for message in messages %}{% if message['role'] == 'assistant' %}
{{ '<|im_start|>assistant\\n' }}{% generation %}{{ message['content'] }}{{ '<|im_end|>' }}{% endgeneration %}
{% else %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endif %}{% endfor %}"""

ODDITIES = """{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% break %}{% endfor %}
{%- macro quote(x) %}"{{ x }}"{% endmacro %}
{{ quote(messages[0].content) }} {{ messages | length }} {{ messages[0]['content'][:3] | upper }} {{ strftime_now('%Y') | length }}
{{ messages | map(attribute='role') | join(', ') }} {{ {'é': [1, 2.5, none, true], '<': "'"} | tojson }} {{ undefined_name }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ dict(a=1).items() | list }} {{ 'a' * 3 }} {{ 2 ** 10 }}
{{ '%s-%d' | format('x', 3) }} {{ '{} {}'.format(1, 2) }} {{ messages[0] is mapping }} {{ pad_token }}
  {% if true %}
    indented
  {% endif %}
{{ messages[0].content.split(' ')[0].strip() }} {{ [3, 1, 2] | sort | first }} {{ documents is none }} {{ tools is defined }}"""

KNOWN = {"chatml": CHATML, "llama2": LLAMA2, "llama3": LLAMA3, "mistral": MISTRAL, "gemma": GEMMA, "zephyr": ZEPHYR,
         "marked": MARKED, "oddities": ODDITIES}  # fmt: skip
