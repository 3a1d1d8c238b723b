process PHYLOTOOLS_PREPROCESS {
    tag "$meta.id"
    label 'process_high'

    conda "${moduleDir}/environment.yml"
    container "${ workflow.containerEngine == 'singularity' && !task.ext.singularity_pull_docker_container ?
        'https://depot.galaxyproject.org/singularity/phylotools:0.1.0--pyhdfd78af_0':
        'biocontainers/phylotools:0.1.0--pyhdfd78af_0' }"

    input:
    tuple val(meta), path(alignments)
    path tree
    path fasta

    output:
    tuple val(meta), path("${prefix}.store")          , emit: store
    tuple val(meta), path("${prefix}.preprocess.json"), emit: summary
    path "versions.yml"                               , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args      = task.ext.args ?: ''
    prefix        = task.ext.prefix ?: "${meta.id}"
    def fasta_arg = fasta ? "-f ${fasta}" : ''
    """
    phylotools preprocess \\
        $alignments \\
        --tree $tree \\
        $fasta_arg \\
        -o ${prefix}.store \\
        -@ $task.cpus \\
        --summary-json ${prefix}.preprocess.json \\
        $args

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir ${prefix}.store
    touch ${prefix}.store/zarr.json
    echo '{}' > ${prefix}.preprocess.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        phylotools: \$(phylotools --version | sed 's/.* //')
    END_VERSIONS
    """
}
