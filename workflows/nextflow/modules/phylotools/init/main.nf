process PHYLOTOOLS_INIT {
    tag "$meta.id"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.galaxyproject.org/singularity/phylotools:0.1.0--pyhdfd78af_0':
        'biocontainers/phylotools:0.1.0--pyhdfd78af_0' }"

    input:
    tuple val(meta), path(input), val(verb)
    path model
    path fasta

    output:
    tuple val(meta), val(verb), path("${prefix}.work"), stdout, emit: plan
    path "versions.yml"                                       , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args      = task.ext.args ?: ''
    prefix        = task.ext.prefix ?: "${meta.id}"
    def model_arg = model ? "-m ${model}" : ''
    def fasta_arg = fasta ? "-f ${fasta}" : ''
    def input_arg = verb == 'tracks' && input ? "-R ${input}" : "${input}"
    if (!(verb in ['annotate', 'tracks'])) error "No verb in parts with a model: ${verb}; annotate or tracks"
    """
    phylotools ${verb}-init \\
        $input_arg \\
        $model_arg \\
        $fasta_arg \\
        --work ${prefix}.work \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.work
    touch ${prefix}.work/plan.json
    echo 2

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """
}
